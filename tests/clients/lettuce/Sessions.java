import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.output.CommandOutput;
import io.lettuce.core.output.ComplexData;
import io.lettuce.core.output.ComplexOutput;
import io.lettuce.core.output.IntegerOutput;
import io.lettuce.core.output.ValueOutput;
import io.lettuce.core.protocol.CommandArgs;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** SESSION.*, dispatched as commands of one's own; replies as the protocol has them. */
final class Sessions {
    private static final Class<RedisCommandExecutionException> REFUSED = RedisCommandExecutionException.class;
    private static final Supplier<IntegerOutput<String, String>> NUMBER = () -> new IntegerOutput<>(StringCodec.UTF8);

    private final RedisClient client;
    private final boolean isResp3;

    Sessions(RedisClient client, boolean isResp3) {
        this.client = client;
        this.isResp3 = isResp3;
    }

    void session() throws Exception {
        try (StatefulRedisConnection<String, String> holder = client.connect(); StatefulRedisConnection<String, String> other = client.connect()) {
            RedisCommands<String, String> redis = holder.sync();
            Map<?, ?> created = map(ask(redis, "CREATE", "ID", "s", "USER", "ann", "IDLE", "60000", "FIELDS", "1", "cart", "tea"));
            Suite.same(created.get("user"), "ann");
            Suite.same(created.get("fence") instanceof Long, true);
            Map<?, ?> held = map(ask(redis, "OPEN", "s", "HOLD", "60000"));
            Suite.same(map(held.get("fields")), Map.of("cart", "tea"));
            // The holder's own connection may write, another one may not.
            Suite.throwsWith(REFUSED, "HELD", () -> other.sync().hset("s", "cart", "coffee"));
            Suite.throwsWith(REFUSED, "HELD", () -> ask(other.sync(), "OPEN", "s", "HOLD", "60000"));
            send(redis, NUMBER.get(), "COMMIT", "s", String.valueOf(held.get("fence")), "SET", "1", "cart", "cup");
            Suite.throwsWith(REFUSED, "FENCED", () -> send(redis, NUMBER.get(), "COMMIT", "s", "999999999999", "SET", "1", "cart", "late"));
            Suite.same(other.sync().hgetall("s"), Map.of("cart", "cup"));
            Suite.same(send(redis, NUMBER.get(), "DESTROY", "s"), 1L);
            Suite.same(send(redis, new ValueOutput<>(StringCodec.UTF8), "READ", "s"), null);
        }
    }

    /** A map or a list. */
    private static Object ask(RedisCommands<String, String> redis, String command, String... words) {
        return send(redis, new ComplexOutput<>(StringCodec.UTF8, Sessions::plain), command, words);
    }

    private static <T> T send(RedisCommands<String, String> redis, CommandOutput<String, String, T> output, String command, String... words) {
        CommandArgs<String, String> all = new CommandArgs<>(StringCodec.UTF8);
        List.of(words).forEach(all::add);
        return redis.dispatch(new Word("SESSION." + command), output, all);
    }

    private static Object plain(Object reply) {
        if (!(reply instanceof ComplexData data)) {
            return reply;
        }
        if (data.isMap()) {
            Map<Object, Object> all = new HashMap<>();
            data.getDynamicMap().forEach((name, value) -> all.put(plain(name), plain(value)));
            return all;
        }
        return data.getDynamicList().stream().map(Sessions::plain).toList();
    }

    /** A map over RESP3; over RESP2 a list of names and values, made into one. */
    private Map<?, ?> map(Object reply) {
        if (isResp3) {
            return (Map<?, ?>) reply;
        }
        Map<Object, Object> all = new HashMap<>();
        List<?> items = (List<?>) reply;
        for (int n = 0; n < items.size(); n += 2) {
            all.put(items.get(n), items.get(n + 1));
        }
        return all;
    }
}
