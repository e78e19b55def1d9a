import io.lettuce.core.KeyValue;
import io.lettuce.core.LettuceFutures;
import io.lettuce.core.ReadFrom;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanIterator;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.SlotHash;
import io.lettuce.core.cluster.api.StatefulRedisClusterConnection;
import io.lettuce.core.cluster.api.sync.RedisAdvancedClusterCommands;
import io.lettuce.core.cluster.models.partitions.RedisClusterNode;
import io.lettuce.core.protocol.ProtocolVersion;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** Lettuce 7 as a client of a cluster: how it finds keys, and what it does when a primary is killed. */
final class Cluster {
    private static final int SLOT_OF_FOO = 12_182;
    private static final int SLOTS = 16_384;

    private final Suite suite;
    private final RedisClusterClient client;
    private final StatefulRedisClusterConnection<String, String> connection;
    private final RedisAdvancedClusterCommands<String, String> redis;

    private Cluster(Suite suite, ProtocolVersion protocol) {
        this.suite = suite;
        this.client = Clients.ofCluster(protocol, Clients::isWellOrLeads);
        this.connection = client.connect();
        this.redis = connection.sync();
    }

    public static void main(String[] arguments) {
        Suite suite = new Suite("Lettuce 7 cluster");
        new Cluster(suite, ProtocolVersion.RESP2).run("over RESP2");
        new Cluster(suite, ProtocolVersion.RESP3).run("over RESP3");
        suite.test("when a primary is killed under writers, the client finds its successor, and nothing acknowledged is lost", new Cluster(suite, null)::failover);
        suite.finish();
    }

    private void run(String label) {
        suite.test(label + ", keys of all slots are found where they are", this::keys);
        suite.test(label + ", one command may have keys of many slots: Lettuce splits it", this::split);
        suite.test(label + ", commands that are sent together are spread over the nodes", this::pipeline);
        suite.test(label + ", the map names each slot's node once", this::map);
        suite.test(label + ", a key whose slot the client looks for at the wrong node is found", this::moved);
        suite.test(label + ", who prefers replicas reads what was written", this::replicas);
        client.shutdown(0, 2, TimeUnit.SECONDS);
    }

    private void keys() {
        redis.flushall();
        Suite.list(0, 500, n -> redis.set("k:" + n, String.valueOf(n)));
        Suite.same(Suite.list(0, 500, n -> redis.get("k:" + n)), Suite.list(0, 500, String::valueOf));
        Set<String> seen = new HashSet<>();
        ScanIterator.scan(redis, ScanArgs.Builder.matches("k:*").limit(50)).forEachRemaining(seen::add);
        Suite.same(seen, new HashSet<>(Suite.list(0, 500, n -> "k:" + n)));
        Suite.same(redis.dbsize(), 500L);
        Suite.same(redis.upstream().size(), 3);
        Suite.same(redis.del("k:1"), 1L);
    }

    private void split() {
        Map<String, String> all = new HashMap<>();
        Suite.list(0, 300, n -> all.put("s:" + n, String.valueOf(n)));
        String[] names = all.keySet().toArray(new String[0]);
        Suite.same(redis.mset(all), "OK");
        Suite.same(redis.mget(names), List.of(names).stream().map(name -> KeyValue.just(name, all.get(name))).toList());
        Suite.same(redis.exists(names), 300L);
        Suite.same(redis.touch(names), 300L);
        Suite.same(redis.keys("s:*").size(), 300);
        Suite.same(redis.del(names), 300L);
        Suite.same(redis.exists(names), 0L);
    }

    private void pipeline() {
        Map<String, String> all = new HashMap<>();
        Suite.list(0, 300, n -> all.put("p:" + n, String.valueOf(n)));
        try (StatefulRedisClusterConnection<String, String> own = client.connect()) {
            // So that all nodes are connected: what is for one that is not yet misses the flush, at Redis too.
            own.sync().mset(all);
            own.setAutoFlushCommands(false);
            List<RedisFuture<Long>> replies = Suite.list(0, 300, n -> own.async().incr("p:" + n));
            own.flushCommands();
            Suite.same(LettuceFutures.awaitAll(Duration.ofSeconds(20), replies.toArray(new RedisFuture<?>[0])), true);
            Suite.same(Suite.list(0, 300, n -> replies.get(n).toCompletableFuture().join()), Suite.list(1, 301, n -> (long) n));
        }
    }

    private void map() {
        client.refreshPartitions();
        int slots = client.getPartitions().stream().mapToInt(node -> node.getSlots().size()).sum();
        Suite.same(slots, SLOTS);
        for (int slot = 0; slot < SLOTS; slot++) {
            Suite.same(client.getPartitions().getMasterBySlot(slot) != null, true);
        }
    }

    /** What a client sees whose map is old: the node that does not serve the slot names the one that does. */
    private void moved() throws Exception {
        redis.set("foo", "here");
        Suite.same(SlotHash.getSlot("foo"), SLOT_OF_FOO);
        RedisClusterNode owner = owner();
        RedisClusterNode other = client.getPartitions().stream().filter(node -> !node.hasNoSlots() && !node.hasSlot(SLOT_OF_FOO)).findFirst().orElseThrow();
        String told = "MOVED " + SLOT_OF_FOO + " " + owner.getUri().getHost() + ":" + owner.getUri().getPort();
        Suite.throwsWith(RedisCommandExecutionException.class, told, () -> redis.getConnection(other.getNodeId()).get("foo"));
        RedisClusterNode wrong = other.clone();
        wrong.setSlots(Suite.list(0, SLOTS, slot -> slot));
        client.getPartitions().reload(List.of(wrong));
        try (StatefulRedisClusterConnection<String, String> own = client.connect()) {
            Suite.same(own.sync().get("foo"), "here");
        }
        client.refreshPartitions();
    }

    private RedisClusterNode owner() {
        return client.getPartitions().getMasterBySlot(SLOT_OF_FOO);
    }

    /** Tenure's nodes are all shown as masters, so there is no replica to prefer; Redis answers from replicas, a little later. */
    private void replicas() throws Exception {
        try (StatefulRedisClusterConnection<String, String> own = client.connect()) {
            own.setReadFrom(ReadFrom.REPLICA_PREFERRED);
            Suite.list(0, 200, n -> own.sync().set("r:" + n, String.valueOf(n)));
            if (!Suite.IS_TENURE) {
                Suite.letReplicate();
            }
            Suite.same(Suite.list(0, 200, n -> own.sync().get("r:" + n)), Suite.list(0, 200, String::valueOf));
        }
    }

    private void failover() throws Exception {
        RedisClusterNode before = owner();
        Load load = new Load(redis, "killed");
        try (load) {
            load.goOn(1_000);
            Suite.kill(before.getUri().getPort());
            Suite.same(Suite.eventually(() -> redis.set("foo", "after")), "OK");
            load.goOn(1_000);
        }
        List<String> errors = load.report("a primary killed");
        Suite.same(redis.get("foo"), "after");
        Suite.same(owner().getUri().equals(before.getUri()), false);
        // Redis replicates after it has acknowledged, and answers with errors until the cluster has noticed.
        if (Suite.IS_TENURE) {
            Clients.only(Clients.RESET + "|" + Clients.GIVEN_UP, 1 + Load.LANES, errors);
            Suite.same(load.lost(), List.of());
        }
    }
}
