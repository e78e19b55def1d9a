import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import redis.clients.jedis.ClusterPipeline;
import redis.clients.jedis.Connection;
import redis.clients.jedis.ConnectionPool;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisCluster;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.exceptions.JedisClusterOperationException;
import redis.clients.jedis.exceptions.JedisMovedDataException;
import redis.clients.jedis.util.JedisClusterCRC16;

/** Jedis 6 as a client of a cluster: how it finds keys, and what it does when a primary is killed. */
final class Cluster {
    private static final int SLOT_OF_FOO = 12_182;

    private final Suite suite;
    private final RedisProtocol protocol;

    private Cluster(Suite suite, RedisProtocol protocol) {
        this.suite = suite;
        this.protocol = protocol;
    }

    public static void main(String[] arguments) {
        Suite suite = new Suite("Jedis 6 cluster");
        new Cluster(suite, RedisProtocol.RESP2).run("over RESP2");
        new Cluster(suite, RedisProtocol.RESP3).run("over RESP3");
        suite.test("when a primary is killed, the client finds its successor", new Cluster(suite, null)::failover);
        suite.finish();
    }

    private void run(String label) {
        try (JedisCluster client = open()) {
            suite.test(label + ", keys of all slots are found where they are", () -> keys(client));
            suite.test(label + ", keys of one slot may stand in one command, others may not", () -> oneSlot(client));
            suite.test(label + ", a pipeline is spread over the nodes and answered in order", () -> pipeline(client));
            suite.test(label + ", a key whose slot the client looks for at the wrong node is found", () -> moved(client));
        }
    }

    private JedisCluster open() {
        DefaultJedisClientConfig config = DefaultJedisClientConfig.builder().protocol(protocol).clientName("suite").build();
        return new JedisCluster(Set.of(Servers.SERVER), config);
    }

    private static void keys(JedisCluster client) {
        primaries(client).forEach(node -> withNode(node, Jedis::flushAll));
        Suite.list(0, 500, n -> client.set("k:" + n, String.valueOf(n)));
        Suite.same(Suite.list(0, 500, n -> client.get("k:" + n)), Suite.list(0, 500, String::valueOf));
        Set<String> seen = new HashSet<>();
        primaries(client).forEach(node -> withNode(node, jedis -> seen.addAll(Servers.scanned(jedis, "k:*", 50))));
        Suite.same(seen, new HashSet<>(Suite.list(0, 500, n -> "k:" + n)));
        Suite.same(primaries(client).size(), 3);
        Suite.same(client.del("k:1"), 1L);
    }

    private static void oneSlot(JedisCluster client) throws Exception {
        client.mset("{t}a", "1", "{t}b", "2");
        Suite.same(client.mget("{t}a", "{t}b"), List.of("1", "2"));
        Suite.throwsWith(JedisClusterOperationException.class, "same hashslot", () -> client.mget("a", "b"));
    }

    private static void pipeline(JedisCluster client) {
        try (ClusterPipeline pipeline = client.pipelined()) {
            List<Response<Long>> replies = Suite.list(0, 300, n -> {
                pipeline.set("p:" + n, String.valueOf(n));
                return pipeline.incr("p:" + n);
            });
            pipeline.sync();
            Suite.same(Suite.list(0, 300, n -> replies.get(n).get()), Suite.list(1, 301, n -> (long) n));
        }
    }

    /** What a client sees whose map is old: `MOVED`, asked of a node that does not serve the slot, names the one that does. */
    private static void moved(JedisCluster client) throws Exception {
        client.set("foo", "here");
        HostAndPort owner = ownerOf(client, SLOT_OF_FOO);
        Suite.same(JedisClusterCRC16.getSlot("foo"), SLOT_OF_FOO);
        HostAndPort other = primaries(client).stream().filter(node -> !node.equals(owner)).findFirst().orElseThrow();
        try (Jedis jedis = new Jedis(other)) {
            jedis.get("foo");
            throw new AssertionError("no redirection");
        } catch (JedisMovedDataException moved) {
            Suite.same(moved.getTargetNode(), owner);
            Suite.same(moved.getSlot(), SLOT_OF_FOO);
        }
    }

    private void failover() throws Exception {
        DefaultJedisClientConfig config = DefaultJedisClientConfig.builder().timeoutMillis(2_000).build();
        // As it comes, but for the time in which it tries again.
        try (JedisCluster client = new JedisCluster(Servers.nodes(), config, 5, Duration.ofSeconds(10), new ConnectionPoolConfig())) {
            client.set("foo", "before");
            Suite.letReplicate();
            HostAndPort owner = ownerOf(client, SLOT_OF_FOO);
            Suite.kill(owner.getPort());
            Suite.same(Suite.eventually(() -> client.get("foo")), "before");
            Suite.same(Suite.eventually(() -> client.set("foo", "after")), "OK");
            Suite.same(client.get("foo"), "after");
            Suite.same(ownerOf(client, SLOT_OF_FOO).equals(owner), false);
            Suite.list(0, 200, n -> {
                try {
                    return Suite.eventually(() -> client.set("after:" + n, String.valueOf(n)));
                } catch (Exception error) {
                    throw new AssertionError("key " + n, error);
                }
            });
            Suite.same(Suite.list(0, 200, n -> client.get("after:" + n)), Suite.list(0, 200, String::valueOf));
        }
    }

    private static HostAndPort ownerOf(JedisCluster client, int slot) {
        try (Connection connection = client.getConnectionFromSlot(slot)) {
            String[] at = connection.toString().replaceAll(".*?([0-9.]+:\\d+).*", "$1").split(":");
            return new HostAndPort(at[0], Integer.parseInt(at[1]));
        }
    }

    private static Set<HostAndPort> primaries(JedisCluster client) {
        Set<HostAndPort> all = new HashSet<>();
        for (Map.Entry<String, ConnectionPool> node : client.getClusterNodes().entrySet()) {
            withNode(HostAndPort.from(node.getKey()), jedis -> {
                if ("master".equals(jedis.role().get(0))) {
                    all.add(HostAndPort.from(node.getKey()));
                }
            });
        }
        return all;
    }

    private static void withNode(HostAndPort node, Consumer<Jedis> work) {
        try (Jedis jedis = new Jedis(node)) {
            work.accept(jedis);
        }
    }
}
