import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.JedisSentinelPool;
import redis.clients.jedis.JedisSentineled;
import redis.clients.jedis.exceptions.JedisException;

/** Jedis 6 with Sentinels: it finds a master, and another one when that is killed. */
final class Sentinel {
    private static final String MASTER = System.getenv("TENURE_MASTER");
    private static final DefaultJedisClientConfig CONFIG = DefaultJedisClientConfig.builder().timeoutMillis(2_000).build();

    public static void main(String[] arguments) {
        Suite suite = new Suite("Jedis 6 with Sentinels");
        suite.test("all Sentinels name one master", Sentinel::oneMaster);
        suite.test("the questions of tools are answered", Sentinel::questions);
        suite.test("JedisSentineled finds the master, and it serves every key", Sentinel::keys);
        suite.test("JedisSentinelPool finds the master", Sentinel::pool);
        suite.test("a name that nobody knows is an error", Sentinel::unknown);
        suite.test("when the master is killed, who has subscribed is told, and both clients follow", Sentinel::killed);
        suite.finish();
    }

    private static JedisSentineled sentineled() {
        return new JedisSentineled(MASTER, CONFIG, Servers.sentinels(), CONFIG);
    }

    private static void oneMaster() {
        Set<List<String>> named = new HashSet<>();
        for (HostAndPort at : Servers.sentinels()) {
            try (Jedis sentinel = new Jedis(at)) {
                named.add(sentinel.sentinelGetMasterAddrByName(MASTER));
            }
        }
        Suite.same(named.size(), 1);
    }

    private static void questions() {
        try (Jedis sentinel = new Jedis(Servers.lastSentinel())) {
            Map<String, String> master = sentinel.sentinelMaster(MASTER);
            Suite.same(master.get("name"), MASTER);
            Suite.same(List.of(master.get("ip"), master.get("port")), sentinel.sentinelGetMasterAddrByName(MASTER));
            Suite.same(sentinel.sentinelMasters().size(), 1);
            Suite.same(sentinel.sentinelSentinels(MASTER).size(), Servers.sentinels().size() - 1);
        }
    }

    private static void keys() {
        try (JedisSentineled client = sentineled()) {
            Suite.list(0, 200, n -> client.set("k:" + n, String.valueOf(n)));
            Suite.same(client.mget(Suite.list(0, 200, n -> "k:" + n).toArray(new String[0])), Suite.list(0, 200, String::valueOf));
        }
    }

    private static void pool() {
        try (JedisSentinelPool pool = new JedisSentinelPool(MASTER, Servers.sentinels(), CONFIG, CONFIG); Jedis jedis = pool.getResource()) {
            Suite.same(jedis.set("pooled", "v"), "OK");
            Suite.same(jedis.role().get(0), "master");
        }
    }

    private static void unknown() throws Exception {
        Suite.throwsWith(JedisException.class, "nosuch", () -> new JedisSentineled("nosuch", CONFIG, Servers.sentinels(), CONFIG).close());
    }

    private static void killed() throws Exception {
        try (Listener listener = new Listener();
                JedisSentineled client = sentineled();
                JedisSentinelPool pool = new JedisSentinelPool(MASTER, Servers.sentinels(), CONFIG, CONFIG)) {
            HostAndPort before = client.getCurrentMaster();
            client.set("foo", "before");
            Suite.letReplicate();
            Suite.kill(before.getPort());
            Suite.same(Suite.eventually(() -> client.set("foo", "after")), "OK");
            Suite.same(client.get("foo"), "after");
            Suite.same(client.getCurrentMaster().equals(before), false);
            String[] told = listener.told().split(" ");
            Suite.same(List.of(told).subList(0, 3), List.of(MASTER, before.getHost(), String.valueOf(before.getPort())));
            // Each has subscribed for itself, and is told in its own time.
            Suite.eventuallyTrue("the pool follows", () -> pool.getCurrentHostMaster().equals(client.getCurrentMaster()));
            try (Jedis jedis = pool.getResource()) {
                Suite.same(jedis.get("foo"), "after");
            }
        }
    }

    /** Listens at one Sentinel for the switch; subscribed when made. */
    private static final class Listener implements AutoCloseable {
        private final BlockingQueue<String> messages = new LinkedBlockingQueue<>();
        private final CountDownLatch subscribed = new CountDownLatch(1);
        // Without a limit to the time of silence.
        private final Jedis jedis = new Jedis(Servers.lastSentinel(), DefaultJedisClientConfig.builder().socketTimeoutMillis(0).build());
        private final JedisPubSub subscription = new JedisPubSub() {
            @Override
            public void onSubscribe(String channel, int count) {
                subscribed.countDown();
            }

            @Override
            public void onMessage(String channel, String message) {
                messages.add(message);
            }
        };
        private final Thread thread = new Thread(this::listen);

        Listener() throws InterruptedException {
            thread.setDaemon(true);
            thread.start();
            Suite.same(subscribed.await(5, TimeUnit.SECONDS), true);
        }

        private void listen() {
            try {
                jedis.subscribe(subscription, "+switch-master");
            } catch (JedisException closed) {
                // By `close`, or with the Sentinel that was asked; then no message comes, and that is noticed.
            }
        }

        String told() throws InterruptedException {
            String message = messages.poll(20, TimeUnit.SECONDS);
            Suite.same(message != null, true);
            return message;
        }

        @Override
        public void close() {
            // Which ends the subscription, and with it the thread.
            jedis.close();
        }
    }
}
