import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.output.ObjectOutput;
import io.lettuce.core.protocol.CommandArgs;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** SESSION.*, dispatched as commands of one's own; replies as the protocol has them. */
final class Sessions {
    private static final Class<RedisCommandExecutionException> REFUSED = RedisCommandExecutionException.class;

    private final RedisClient client;
    private final boolean isResp3;

    Sessions(RedisClient client, boolean isResp3) {
        this.client = client;
        this.isResp3 = isResp3;
    }

    void session() throws Exception {
        try (StatefulRedisConnection<String, String> holder = client.connect(); StatefulRedisConnection<String, String> other = client.connect()) {
            RedisCommands<String, String> redis = holder.sync();
            Map<?, ?> created = map(send(redis, "CREATE", "ID", "s", "USER", "ann", "IDLE", "60000", "FIELDS", "1", "cart", "tea"));
            Suite.same(created.get("user"), "ann");
            Suite.same(created.get("fence") instanceof Long, true);
            Map<?, ?> held = map(send(redis, "OPEN", "s", "HOLD", "60000"));
            Suite.same(map(held.get("fields")), Map.of("cart", "tea"));
            // The holder's own connection may write, another one may not.
            Suite.throwsWith(REFUSED, "HELD", () -> other.sync().hset("s", "cart", "coffee"));
            Suite.throwsWith(REFUSED, "HELD", () -> send(other.sync(), "OPEN", "s", "HOLD", "60000"));
            send(redis, "COMMIT", "s", String.valueOf(held.get("fence")), "SET", "1", "cart", "cup");
            Suite.throwsWith(REFUSED, "FENCED", () -> send(redis, "COMMIT", "s", "999999999999", "SET", "1", "cart", "late"));
            Suite.same(other.sync().hgetall("s"), Map.of("cart", "cup"));
            Suite.same(send(redis, "DESTROY", "s"), 1L);
            Suite.same(send(redis, "READ", "s"), null);
        }
    }

    private static Object send(RedisCommands<String, String> redis, String command, String... words) {
        CommandArgs<String, String> all = new CommandArgs<>(StringCodec.UTF8);
        List.of(words).forEach(all::add);
        return redis.dispatch(new Word("SESSION." + command), new ObjectOutput<>(StringCodec.UTF8), all);
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
