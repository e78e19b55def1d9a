import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.redisson.Redisson;
import org.redisson.api.BatchResult;
import org.redisson.api.RBatch;
import org.redisson.api.RBucket;
import org.redisson.api.RMap;
import org.redisson.api.RedissonClient;
import org.redisson.api.options.KeysScanOptions;
import org.redisson.client.RedisException;
import org.redisson.client.codec.StringCodec;
import org.redisson.config.BaseMasterSlaveServersConfig;
import org.redisson.config.Config;
import org.redisson.config.Protocol;

/** Redisson 4 at one server, in cluster mode and with Sentinels: its start, and what it does without scripts. */
final class Redissons {
    /** To each node; if it is not told, it opens 24 at once. */
    private static final int CONNECTIONS = 4;

    private final Suite suite;
    private final RedissonClient client;

    private Redissons(Suite suite, Config config) {
        this.suite = suite;
        this.client = Redisson.create(config);
    }

    public static void main(String[] arguments) {
        String mode = arguments[0];
        Suite suite = new Suite("Redisson 4 " + mode);
        new Redissons(suite, config(mode, Protocol.RESP2)).run("over RESP2");
        new Redissons(suite, config(mode, Protocol.RESP3)).run("over RESP3");
        if (!mode.equals("single")) {
            suite.test("when a primary is killed, its successor is found, and nothing acknowledged is lost", () -> killed(Redisson.create(config(mode, Protocol.RESP2))));
        }
        suite.finish();
    }

    /** It comes with a cache of scripts; then a script that is refused as unknown is sent again for ever, which nobody wants to see here. */
    private static Config config(String mode, Protocol protocol) {
        Config config = new Config().setProtocol(protocol).setCodec(StringCodec.INSTANCE).setUseScriptCache(false);
        switch (mode) {
            case "single" -> config.useSingleServer().setAddress(url(Suite.SERVER)).setClientName("suite")
                    .setConnectionPoolSize(CONNECTIONS).setConnectionMinimumIdleSize(1);
            case "cluster" -> small(config.useClusterServers().addNodeAddress(urls(Suite.nodes())).setScanInterval(500));
            case "sentinel" -> small(config.useSentinelServers().addSentinelAddress(urls(Suite.sentinels()))
                    .setMasterName(System.getenv("TENURE_MASTER")).setScanInterval(500));
            default -> throw new IllegalArgumentException(mode);
        }
        return config;
    }

    private static void small(BaseMasterSlaveServersConfig<?> config) {
        config.setClientName("suite").setMasterConnectionPoolSize(CONNECTIONS).setMasterConnectionMinimumIdleSize(1)
                .setSlaveConnectionPoolSize(CONNECTIONS).setSlaveConnectionMinimumIdleSize(1);
    }

    private static String url(Suite.Address address) {
        return "redis://" + address.host() + ":" + address.port();
    }

    private static String[] urls(List<Suite.Address> addresses) {
        return addresses.stream().map(Redissons::url).toArray(String[]::new);
    }

    private void run(String label) {
        suite.test(label + ", buckets with their lifetimes", this::buckets);
        suite.test(label + ", a map is a hash", this::maps);
        suite.test(label + ", counters", this::counters);
        suite.test(label + ", a batch is answered in order", this::batch);
        suite.test(label + ", keys are listed, counted and deleted", this::keys);
        suite.testOfTenure(label + ", what needs a script is an error at once", this::scripts);
        client.shutdown(0, 2, TimeUnit.SECONDS);
    }

    private void buckets() throws Exception {
        RBucket<String> bucket = client.getBucket("bucket");
        bucket.set("v");
        Suite.same(bucket.get(), "v");
        Suite.same(bucket.setIfAbsent("w"), false);
        Suite.same(bucket.setIfExists("w"), true);
        Suite.same(bucket.getAndSet("x"), "w");
        bucket.set("y", Duration.ofSeconds(90));
        Suite.between(bucket.remainTimeToLive(), 80_000, 90_000);
        bucket.setAndKeepTTL("z");
        Suite.between(bucket.remainTimeToLive(), 80_000, 90_000);
        // `bucket.expire` is a script, and so is what answers the value that it deletes.
        Suite.same(client.getKeys().expire(Duration.ofSeconds(50), "bucket"), 1L);
        Suite.between(bucket.remainTimeToLive(), 40_000, 50_000);
        Suite.same(bucket.clearExpire(), true);
        Suite.same(bucket.remainTimeToLive(), -1L);
        Suite.same(bucket.getAndExpire(Duration.ofSeconds(30)), "z");
        Suite.between(bucket.remainTimeToLive(), 20_000, 30_000);
        Suite.same(bucket.delete(), true);
        Suite.same(bucket.isExists(), false);
    }

    private void maps() {
        RMap<String, String> map = client.getMap("map");
        map.delete();
        Map<String, String> fields = new HashMap<>();
        Suite.list(0, 300, n -> fields.put("f" + n, "v" + n));
        map.putAll(fields);
        Suite.same(map.readAllMap(), fields);
        Suite.same(map.get("f1"), "v1");
        Suite.same(map.getAll(Set.of("f1", "f2", "absent")), Map.of("f1", "v1", "f2", "v2"));
        Suite.same(map.fastPut("f1", "w"), false);
        Suite.same(map.fastPut("g", "w"), true);
        Suite.same(map.fastPutIfAbsent("g", "x"), false);
        Suite.same(map.containsKey("g"), true);
        Suite.same(map.fastRemove("g", "f2", "absent"), 2L);
        Suite.same(map.size(), 299);
        Suite.same(map.readAllKeySet().size(), 299);
        // In pages.
        Suite.same(new HashSet<>(map.entrySet()).size(), 299);
        Suite.same(client.getKeys().expire(Duration.ofSeconds(50), "map"), 1L);
        Suite.between(map.remainTimeToLive(), 40_000, 50_000);
        Suite.same(map.delete(), true);
    }

    private void counters() {
        client.getAtomicLong("counter").delete();
        Suite.same(client.getAtomicLong("counter").incrementAndGet(), 1L);
        Suite.same(client.getAtomicLong("counter").addAndGet(41), 42L);
        Suite.same(client.getAtomicLong("counter").get(), 42L);
    }

    private void batch() {
        RBatch batch = client.createBatch();
        Suite.list(0, 200, n -> batch.getBucket("b:" + n).setAsync(String.valueOf(n)));
        Suite.list(0, 200, n -> batch.getBucket("b:" + n).getAsync());
        BatchResult<?> result = batch.execute();
        Suite.same(result.getResponses().subList(200, 400), Suite.list(0, 200, String::valueOf));
    }

    private void keys() {
        client.getKeys().flushall();
        Map<String, String> all = new HashMap<>();
        Suite.list(0, 300, n -> all.put("k:" + n, "v"));
        client.getBuckets().set(all);
        Suite.same(client.getKeys().count(), 300L);
        Set<String> seen = new HashSet<>();
        client.getKeys().getKeys(KeysScanOptions.defaults().pattern("k:*").chunkSize(50)).forEach(seen::add);
        Suite.same(seen, all.keySet());
        Suite.same(client.getKeys().countExists("k:1", "k:2", "absent"), 2L);
        Suite.same(client.getKeys().delete("k:1", "k:2", "absent"), 2L);
        Suite.same(client.getKeys().deleteByPattern("k:*"), 298L);
    }

    private void scripts() throws Exception {
        client.getBucket("b").set("v");
        Suite.throwsWith(RedisException.class, "unknown command 'EVAL'", () -> client.getBucket("b").compareAndSet("v", "w"));
        Suite.throwsWith(RedisException.class, "unknown command 'EVAL'", () -> client.getMap("m").put("f", "v"));
        Suite.throwsWith(RedisException.class, "unknown command 'EVAL'", () -> client.getLock("l").tryLock());
        Suite.same(client.getBucket("b").get(), "v");
    }

    /** The first node is a primary, and at a Sentinel the master. */
    private static void killed(RedissonClient client) throws Exception {
        Suite.list(0, 200, n -> set(client, "killed:" + n, "before"));
        Suite.letReplicate();
        Suite.kill(Suite.nodes().get(0).port());
        Suite.list(0, 200, n -> set(client, "killed:" + n, n % 2 == 0 ? "after" : null));
        Suite.list(0, 200, n -> {
            Suite.same(client.getBucket("killed:" + n).get(), n % 2 == 0 ? "after" : "before");
            return n;
        });
    }

    /** Until it works; `null`: reads it. */
    private static Object set(RedissonClient client, String key, String value) {
        try {
            return Suite.eventually(() -> {
                RBucket<String> bucket = client.getBucket(key);
                if (value != null) {
                    bucket.set(value);
                }
                return bucket.get();
            });
        } catch (Exception error) {
            throw new AssertionError(key, error);
        }
    }
}
