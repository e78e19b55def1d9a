import io.lettuce.core.ExpireArgs;
import io.lettuce.core.GetExArgs;
import io.lettuce.core.KeyValue;
import io.lettuce.core.KillArgs;
import io.lettuce.core.LettuceFutures;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisConnectionException;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanIterator;
import io.lettuce.core.SetArgs;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.async.RedisAsyncCommands;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.output.StatusOutput;
import io.lettuce.core.protocol.CommandType;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.support.ConnectionPoolSupport;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.commons.pool2.impl.GenericObjectPoolConfig;
import reactor.core.publisher.Flux;

/** Lettuce 7 at one server: its handshake, as it comes and over RESP2, and the replies that it must read. */
final class Single {
    private static final Class<RedisCommandExecutionException> REFUSED = RedisCommandExecutionException.class;
    /** Threads of an application: on one connection, which is how Lettuce is meant to be used. */
    private static final int THREADS = 20;
    private static final int POOLED = 4;

    private final Suite suite;
    private final boolean isResp3;
    private final RedisClient client;
    private final StatefulRedisConnection<String, String> connection;
    private final RedisCommands<String, String> redis;

    private Single(Suite suite, ProtocolVersion protocol) {
        this.suite = suite;
        this.isResp3 = protocol != ProtocolVersion.RESP2;
        this.client = Clients.of(uri().build(), protocol);
        this.connection = client.connect();
        this.redis = connection.sync();
    }

    public static void main(String[] arguments) {
        Suite suite = new Suite("Lettuce 7");
        new Single(suite, null).run("as it comes");
        new Single(suite, ProtocolVersion.RESP2).run("over RESP2");
        suite.finish();
    }

    private void run(String label) {
        redis.flushall();
        test(label, "the handshake leaves a connection with name, library and protocol", this::handshake);
        test(label, "a password where none is set is taken or refused as Redis does it", this::password);
        test(label, "every byte comes back, of a long value too", this::bytes);
        test(label, "SET, GETEX and EXPIRE with their options", this::lifetimes);
        test(label, "hashes are maps, scans of one end", this::hashes);
        test(label, "commands that are sent together are answered in order, errors in their places", this::pipeline);
        test(label, "a scan sees every key", this::scan);
        test(label, "errors are RedisCommandExecutionException and the connection goes on", this::errors);
        test(label, "a client of another database is apart", this::databases);
        test(label, "a connection that was killed is opened again, and what is asked meanwhile is answered", this::killed);
        test(label, "the reactive interface sees the same", this::reactive);
        test(label, THREADS + " threads share one connection", this::threads);
        test(label, THREADS + " threads share a pool of " + POOLED, this::pool);
        test(label, "what Spring Session does in its simple mode", new SpringSession(client)::session);
        suite.testOfTenure(label + ", SESSION.* as commands that Lettuce does not know", () -> new Sessions(client, isResp3).session());
        client.shutdown(0, 2, TimeUnit.SECONDS);
    }

    private void test(String label, String name, Suite.Work work) {
        suite.test(label + ", " + name, work);
    }

    private static RedisURI.Builder uri() {
        return RedisURI.builder().withHost(Suite.SERVER.host()).withPort(Suite.SERVER.port()).withClientName("suite");
    }

    private void handshake() {
        Suite.same(redis.ping(), "PONG");
        Suite.same(redis.clientGetname(), "suite");
        // Redis 7.0 does not know CLIENT SETINFO yet, and Lettuce does not mind.
        if (Suite.IS_TENURE) {
            Suite.same(redis.clientInfo().contains(" lib-name=Lettuce "), true);
        }
        Suite.same(redis.clientInfo().contains(" resp=" + (isResp3 ? 3 : 2)), true);
    }

    private void password() throws Exception {
        Suite.throwsWith(REFUSED, "without any password configured", () -> redis.auth("wrong"));
        Suite.throwsWith(REFUSED, "WRONGPASS", () -> redis.auth("nobody", "wrong"));
        // What Lettuce gives as the reason why it cannot connect differs: the server's answer, or that it has hung up thereupon.
        Suite.Work unnamed = () -> client.connect(uri().withPassword("wrong").build()).close();
        if (isResp3) {
            // It names the user `default`, who has no password: then any is right.
            unnamed.run();
        } else {
            Suite.throwsWith(RedisConnectionException.class, "Unable to connect", unnamed);
        }
        Suite.Work named = () -> client.connect(uri().withAuthentication("nobody", "wrong").build()).close();
        Suite.throwsWith(RedisConnectionException.class, "Unable to connect", named);
    }

    private void bytes() {
        try (StatefulRedisConnection<byte[], byte[]> raw = client.connect(ByteArrayCodec.INSTANCE)) {
            byte[] key = "bytes".getBytes(StandardCharsets.UTF_8);
            byte[] every = Suite.bytes(256);
            raw.sync().set(key, every);
            Suite.same(raw.sync().get(key), every);
            Suite.same(raw.sync().set(every, new byte[0]), "OK");
            Suite.same(raw.sync().get(every), new byte[0]);
            byte[] large = Suite.bytes(1_000_000);
            raw.sync().set(key, large);
            Suite.same(raw.sync().get(key), large);
        }
        redis.set("text", "Grüße, 世界");
        Suite.same(redis.get("text"), "Grüße, 世界");
    }

    private void lifetimes() {
        Suite.same(redis.set("k", "v", SetArgs.Builder.nx().px(Duration.ofSeconds(90))), "OK");
        Suite.same(redis.set("k", "w", SetArgs.Builder.nx()), null);
        Suite.between(redis.pttl("k"), 80_000, 90_000);
        Suite.same(redis.set("k", "w", SetArgs.Builder.xx().keepttl()), "OK");
        Suite.between(redis.pttl("k"), 80_000, 90_000);
        Suite.same(redis.setGet("k", "x", SetArgs.Builder.exAt(Instant.now().plusSeconds(50))), "w");
        Suite.between(redis.ttl("k"), 45, 50);
        Suite.same(redis.getex("k", GetExArgs.Builder.persist()), "x");
        Suite.same(redis.ttl("k"), -1L);
        Suite.same(redis.expire("k", 100, ExpireArgs.Builder.nx()), true);
        Suite.same(redis.expire("k", 50, ExpireArgs.Builder.gt()), false);
        Suite.same(redis.pexpireat("k", Instant.now().plusSeconds(30)), true);
        Suite.between(redis.ttl("k"), 25, 30);
        Suite.same(redis.setex("e", 70, "v"), "OK");
        // In whole seconds, rounded.
        Suite.between(redis.expiretime("e") - Instant.now().getEpochSecond(), 65, 71);
        Suite.same(redis.set("absent", "v", SetArgs.Builder.xx()), null);
        Suite.same(redis.getdel("k"), "x");
        Suite.same(redis.ttl("k"), -2L);
        Suite.same(redis.setnx("n", "1"), true);
        Suite.same(redis.incrby("n", 41), 42L);
    }

    private void hashes() {
        Map<String, String> fields = new HashMap<>();
        Suite.list(0, 300, n -> fields.put("f" + n, "v" + n));
        Suite.same(redis.hset("hash", fields), 300L);
        Suite.same(redis.hgetall("hash"), fields);
        Map<String, String> seen = new HashMap<>();
        ScanIterator.hscan(redis, "hash", ScanArgs.Builder.limit(10)).forEachRemaining(field -> seen.put(field.getKey(), field.getValue()));
        Suite.same(seen, fields);
        Suite.same(redis.hmget("hash", "f1", "absent"), List.of(KeyValue.just("f1", "v1"), KeyValue.empty("absent")));
        Suite.same(redis.hincrbyfloat("hash", "x", 1.5), 1.5);
        Suite.same(redis.hincrby("hash", "n", 3), 3L);
        Suite.same(redis.hrandfieldWithvalues("hash", 5).size(), 5);
        Suite.same(redis.hdel("hash", "f1", "f2", "absent"), 2L);
        Suite.same(redis.hlen("hash"), 300L);
    }

    private void pipeline() throws Exception {
        try (StatefulRedisConnection<String, String> own = client.connect()) {
            own.setAutoFlushCommands(false);
            RedisAsyncCommands<String, String> async = own.async();
            List<RedisFuture<?>> first = new ArrayList<>();
            first.add(async.set("{p}", "1"));
            RedisFuture<Long> two = async.incr("{p}");
            RedisFuture<String> wrong = async.hget("{p}", "f");
            RedisFuture<List<KeyValue<String, String>>> many = async.mget("{p}", "{p}absent");
            Suite.same(two.isDone(), false);
            own.flushCommands();
            Suite.same(many.get(5, TimeUnit.SECONDS), List.of(KeyValue.just("{p}", "2"), KeyValue.empty("{p}absent")));
            Suite.same(two.get(), 2L);
            Suite.throwsWith(ExecutionException.class, "WRONGTYPE", wrong::get);
            Suite.list(0, 5_000, n -> async.set("deep:" + n, String.valueOf(n)));
            List<RedisFuture<String>> values = Suite.list(0, 5_000, n -> async.get("deep:" + n));
            own.flushCommands();
            Suite.same(LettuceFutures.awaitAll(Duration.ofSeconds(20), values.toArray(new RedisFuture<?>[0])), true);
            Suite.same(Suite.list(0, 5_000, n -> values.get(n).toCompletableFuture().join()), Suite.list(0, 5_000, String::valueOf));
        }
    }

    private void scan() {
        Map<String, String> all = new HashMap<>();
        Suite.list(0, 3_000, n -> all.put("scan:" + n, "v"));
        redis.mset(all);
        Set<String> seen = new HashSet<>();
        ScanIterator.scan(redis, ScanArgs.Builder.matches("scan:*").limit(100)).forEachRemaining(seen::add);
        Suite.same(seen, all.keySet());
    }

    private void errors() throws Exception {
        redis.set("word", "x");
        long before = redis.clientId();
        Suite.throwsWith(REFUSED, "not an integer", () -> redis.incr("word"));
        Suite.throwsWith(REFUSED, "WRONGTYPE", () -> redis.hgetall("word"));
        Suite.throwsWith(REFUSED, "unknown command", () -> redis.dispatch(new Word("NOSUCHCOMMAND"), new StatusOutput<>(StringCodec.UTF8)));
        Suite.throwsWith(REFUSED, "wrong number of arguments", () -> redis.dispatch(CommandType.GET, new StatusOutput<>(StringCodec.UTF8)));
        Suite.same(redis.clientId(), before);
    }

    private void databases() {
        redis.set("where", "zero");
        try (StatefulRedisConnection<String, String> other = client.connect(uri().withDatabase(7).build())) {
            Suite.same(other.sync().get("where"), null);
            other.sync().set("where", "seven");
            Suite.same(other.sync().select(0), "OK");
            Suite.same(other.sync().get("where"), "zero");
        }
        Suite.same(redis.get("where"), "zero");
    }

    private void killed() throws Exception {
        try (StatefulRedisConnection<String, String> victim = client.connect(uri().withDatabase(7).build())) {
            RedisCommands<String, String> own = victim.sync();
            own.set("kept", "in 7");
            long id = own.clientId();
            Suite.same(redis.clientKill(KillArgs.Builder.id(id)), 1L);
            Suite.same(own.get("kept"), "in 7");
            Suite.same(own.clientGetname(), "suite");
            Suite.same(own.clientInfo().contains(" db=7 "), true);
            Suite.same(own.clientId().equals(id), false);
            // Also what was under way: a killed connection answers nothing more, and its commands are sent again.
            redis.clientKill(KillArgs.Builder.id(own.clientId()));
            List<RedisFuture<Boolean>> counted = Suite.list(0, 100, n -> victim.async().hset("under way", "f" + n, "v"));
            LettuceFutures.awaitAll(Duration.ofSeconds(20), counted.toArray(new RedisFuture<?>[0]));
            Suite.same(own.hlen("under way"), 100L);
        }
    }

    private void reactive() {
        List<String> keys = Suite.list(0, 500, n -> "reactive:" + n);
        Long set = Flux.fromIterable(keys).flatMap(key -> connection.reactive().set(key, key)).count().block(Duration.ofSeconds(20));
        Suite.same(set, 500L);
        List<String> values = Flux.fromIterable(keys).flatMapSequential(connection.reactive()::get).collectList().block(Duration.ofSeconds(20));
        Suite.same(values, keys);
        Suite.same(connection.reactive().get("no such key").hasElement().block(Duration.ofSeconds(20)), false);
    }

    private void threads() throws Exception {
        redis.del("together");
        Suite.together(THREADS, thread -> count(redis, "thread:" + thread));
        Suite.same(redis.get("together"), String.valueOf(THREADS * 200));
    }

    private void pool() throws Exception {
        redis.del("together");
        GenericObjectPoolConfig<StatefulRedisConnection<String, String>> size = new GenericObjectPoolConfig<>();
        size.setMaxTotal(POOLED);
        try (var pool = ConnectionPoolSupport.createGenericObjectPool(client::connect, size)) {
            Suite.together(THREADS, thread -> {
                try (StatefulRedisConnection<String, String> borrowed = pool.borrowObject()) {
                    count(borrowed.sync(), "pooled:" + thread);
                }
            });
            Suite.between(pool.getCreatedCount(), 1, POOLED);
        }
        Suite.same(redis.get("together"), String.valueOf(THREADS * 200));
    }

    private static void count(RedisCommands<String, String> redis, String own) {
        for (int n = 1; n <= 200; n++) {
            Suite.same(redis.incr("together") > 0, true);
            Suite.same(redis.hincrby(own, "n", 1), (long) n);
            Suite.same(redis.hget(own, "n"), String.valueOf(n));
        }
    }
}
