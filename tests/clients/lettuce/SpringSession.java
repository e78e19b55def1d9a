import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.ByteArrayCodec;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;

/** The commands of Spring Session's `RedisSessionRepository`, as Spring Data Redis has Lettuce send them: bytes, hashes, one deadline. */
final class SpringSession {
    private static final String PREFIX = "spring:session:sessions:";

    private final RedisClient client;

    SpringSession(RedisClient client) {
        this.client = client;
    }

    void session() throws Exception {
        try (StatefulRedisConnection<byte[], byte[]> connection = client.connect(ByteArrayCodec.INSTANCE)) {
            RedisCommands<byte[], byte[]> redis = connection.sync();
            byte[] key = bytes(PREFIX + "first");
            redis.del(key);
            // Made, and saved for the first time: nobody asks whether it exists.
            Suite.same(redis.hmset(key, fields("creationTime", "1", "maxInactiveInterval", "1800", "sessionAttr:user", "ann")), "OK");
            Suite.same(redis.pexpireat(key, Instant.now().plusSeconds(1800)), true);
            // The next request: all of it is read, what has changed is written, and it lives on.
            Suite.same(text(redis.hgetall(key)).get("sessionAttr:user"), "ann");
            Suite.same(redis.exists(key), 1L);
            redis.hmset(key, fields("lastAccessedTime", "2", "sessionAttr:cart", "tea"));
            redis.pexpireat(key, Instant.now().plusSeconds(3600));
            Suite.between(redis.pttl(key), 3_500_000, 3_600_000);
            Suite.same(redis.hdel(key, bytes("sessionAttr:cart")), 1L);
            byte[] current = loggedIn(redis, key);
            Suite.same(redis.del(current), 1L);
            Suite.same(redis.hgetall(current), Map.of());
        }
    }

    /** A new id: the key takes another name, with its lifetime. */
    private static byte[] loggedIn(RedisCommands<byte[], byte[]> redis, byte[] key) throws Exception {
        byte[] renamed = bytes(PREFIX + "second");
        if (Suite.IS_FORWARDED) {
            Suite.throwsWith(RedisCommandExecutionException.class, "CROSSSLOT", () -> redis.rename(key, renamed));
            return key;
        }
        Suite.same(redis.rename(key, renamed), "OK");
        Suite.same(redis.exists(key), 0L);
        Suite.same(text(redis.hgetall(renamed)).size(), 4);
        Suite.between(redis.pttl(renamed), 3_500_000, 3_600_000);
        Suite.throwsWith(RedisCommandExecutionException.class, "no such key", () -> redis.rename(key, renamed));
        return renamed;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static Map<byte[], byte[]> fields(String... words) {
        Map<byte[], byte[]> all = new HashMap<>();
        for (int n = 0; n < words.length; n += 2) {
            all.put(bytes(words[n]), bytes(words[n + 1]));
        }
        return all;
    }

    private static Map<String, String> text(Map<byte[], byte[]> fields) {
        Map<String, String> all = new HashMap<>();
        fields.forEach((name, value) -> all.put(new String(name, StandardCharsets.UTF_8), new String(value, StandardCharsets.UTF_8)));
        return all;
    }
}
