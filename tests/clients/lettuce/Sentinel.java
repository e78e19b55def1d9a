import io.lettuce.core.ReadFrom;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisConnectionException;
import io.lettuce.core.RedisURI;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.masterreplica.MasterReplica;
import io.lettuce.core.masterreplica.StatefulRedisMasterReplicaConnection;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.pubsub.StatefulRedisPubSubConnection;
import io.lettuce.core.sentinel.api.StatefulRedisSentinelConnection;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Lettuce 7 with Sentinels: it finds a master, and another one when that is killed. */
final class Sentinel {
    private static final String MASTER = System.getenv("TENURE_MASTER");

    private final RedisClient client = RedisClient.create();

    public static void main(String[] arguments) {
        Suite suite = new Suite("Lettuce 7 with Sentinels");
        Sentinel sentinel = new Sentinel();
        suite.test("all Sentinels name one master", sentinel::oneMaster);
        suite.test("the questions of tools are answered", sentinel::questions);
        suite.test("a plain connection finds the master, and it serves every key", sentinel::plain);
        suite.test("a MasterReplica connection finds the master, and reads where it should", sentinel::masterReplica);
        suite.test("a name that nobody knows is an error", sentinel::unknown);
        suite.test("when the master is killed under writers, who has subscribed is told, both connections follow, and nothing acknowledged is lost", sentinel::killed);
        suite.finish();
    }

    private static RedisURI uri(String master) {
        RedisURI.Builder all = RedisURI.builder().withSentinelMasterId(master).withTimeout(Duration.ofSeconds(10));
        Suite.sentinels().forEach(at -> all.withSentinel(at.host(), at.port()));
        return all.build();
    }

    private StatefulRedisMasterReplicaConnection<String, String> follow() {
        return MasterReplica.connect(client, StringCodec.UTF8, uri(MASTER));
    }

    private void oneMaster() {
        Set<SocketAddress> named = new HashSet<>();
        for (Suite.Address address : Suite.sentinels()) {
            try (StatefulRedisSentinelConnection<String, String> sentinel = client.connectSentinel(Clients.uri(address))) {
                named.add(sentinel.sync().getMasterAddrByName(MASTER));
            }
        }
        Suite.same(named.size(), 1);
    }

    private void questions() {
        try (StatefulRedisSentinelConnection<String, String> sentinel = client.connectSentinel(uri(MASTER))) {
            Map<String, String> master = sentinel.sync().master(MASTER);
            Suite.same(master.get("name"), MASTER);
            InetSocketAddress address = (InetSocketAddress) sentinel.sync().getMasterAddrByName(MASTER);
            Suite.same(List.of(master.get("ip"), master.get("port")), List.of(address.getHostString(), String.valueOf(address.getPort())));
            Suite.same(sentinel.sync().masters().size(), 1);
            Suite.same(sentinel.sync().replicas(MASTER).size(), Suite.IS_TENURE ? 0 : 2);
            Suite.same(sentinel.sync().ping(), "PONG");
        }
    }

    private void plain() {
        try (StatefulRedisConnection<String, String> connection = client.connect(uri(MASTER))) {
            Map<String, String> all = new HashMap<>();
            Suite.list(0, 200, n -> all.put("k:" + n, String.valueOf(n)));
            Suite.same(connection.sync().mset(all), "OK");
            connection.sync().mget(all.keySet().toArray(new String[0])).forEach(pair -> Suite.same(pair.getValue(), all.get(pair.getKey())));
            Suite.same(connection.sync().role().get(0), "master");
        }
    }

    private void masterReplica() throws Exception {
        try (StatefulRedisMasterReplicaConnection<String, String> connection = follow()) {
            Suite.same(connection.sync().set("followed", "v"), "OK");
            Suite.same(connection.sync().role().get(0), "master");
            // Tenure's Sentinels name no replicas: then the master is read.
            connection.setReadFrom(ReadFrom.REPLICA_PREFERRED);
            Suite.eventuallyTrue("a replica has it", () -> "v".equals(connection.sync().get("followed")));
        }
    }

    private void unknown() throws Exception {
        Suite.throwsWith(RedisConnectionException.class, "", () -> client.connect(uri("nosuch")).close());
        Suite.throwsWith(RedisConnectionException.class, "", () -> MasterReplica.connect(client, StringCodec.UTF8, uri("nosuch")).close());
    }

    private void killed() throws Exception {
        Suite.Address last = Suite.sentinels().get(Suite.sentinels().size() - 1);
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        try (StatefulRedisPubSubConnection<String, String> listener = client.connectPubSub(Clients.uri(last));
                StatefulRedisConnection<String, String> plain = client.connect(uri(MASTER));
                StatefulRedisMasterReplicaConnection<String, String> followed = follow()) {
            listener.addListener(new RedisPubSubAdapter<String, String>() {
                @Override
                public void message(String channel, String message) {
                    told.add(message);
                }
            });
            listener.sync().subscribe("+switch-master");
            killUnder(plain, followed, told);
        }
    }

    private void killUnder(StatefulRedisConnection<String, String> plain, StatefulRedisMasterReplicaConnection<String, String> followed,
            BlockingQueue<String> told) throws Exception {
        Suite.Address before = master();
        Load first = new Load(plain.sync(), "plain");
        Load second = new Load(followed.sync(), "followed");
        try (first; second) {
            first.goOn(500);
            second.goOn(500);
            Suite.kill(before.port());
            String message = told.poll(20, TimeUnit.SECONDS);
            Suite.same(message != null, true);
            Suite.same(List.of(message.split(" ")).subList(0, 3), List.of(MASTER, before.host(), String.valueOf(before.port())));
            first.goOn(500);
            second.goOn(500);
        }
        Suite.same(master().equals(before), false);
        Clients.only(Clients.RESET, 1, first.report("a plain connection, the master killed"));
        // It takes up the new map five seconds after the switch, and then gives up the connection to the old master with what waits there.
        Clients.only(Clients.RESET + "|" + Clients.GIVEN_UP, 1 + Load.LANES, second.report("MasterReplica, the master killed"));
        // Redis replicates after it has acknowledged.
        if (Suite.IS_TENURE) {
            Suite.same(first.lost(), List.of());
            Suite.same(second.lost(), List.of());
        }
    }

    private Suite.Address master() {
        try (StatefulRedisSentinelConnection<String, String> sentinel = client.connectSentinel(uri(MASTER))) {
            InetSocketAddress address = (InetSocketAddress) sentinel.sync().getMasterAddrByName(MASTER);
            return new Suite.Address(address.getHostString(), address.getPort());
        }
    }
}
