import io.lettuce.core.ClientOptions;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.ClusterTopologyRefreshOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.models.partitions.RedisClusterNode.NodeFlag;
import io.lettuce.core.cluster.models.partitions.RedisClusterNode;
import io.lettuce.core.protocol.ProtocolVersion;
import java.time.Duration;
import java.util.List;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/** Clients as the suites open them; `null` for the protocol that Lettuce comes with. */
final class Clients {
    private Clients() {}

    static RedisURI uri(Suite.Address address) {
        return RedisURI.create(address.host(), address.port());
    }

    static RedisClient of(RedisURI uri, ProtocolVersion protocol) {
        RedisClient client = RedisClient.create(uri);
        if (protocol != null) {
            client.setOptions(ClientOptions.builder().protocolVersion(protocol).build());
        }
        return client;
    }

    /** As it comes. */
    static RedisClusterClient ofCluster() {
        return RedisClusterClient.create(Suite.nodes().stream().map(Clients::uri).toList());
    }

    /**
     * With a new map every second, so often that it comes while something is tested, and with these nodes only. What waits at a node that has
     * died goes to another one when that is left out; else it waits until its own time is over (60 s).
     */
    static RedisClusterClient ofCluster(ProtocolVersion protocol, Predicate<RedisClusterNode> filter) {
        RedisClusterClient client = ofCluster();
        ClusterClientOptions.Builder options = ClusterClientOptions.builder()
                .topologyRefreshOptions(ClusterTopologyRefreshOptions.builder().enablePeriodicRefresh(Duration.ofSeconds(1)).build())
                .nodeFilter(filter);
        if (protocol != null) {
            options.protocolVersion(protocol);
        }
        client.setOptions(options.build());
        return client;
    }

    /** As Lettuce's documentation advises. Until a node that has died is replaced, its slots are nobody's then, and commands for them fail. */
    static boolean isWell(RedisClusterNode node) {
        return !node.is(NodeFlag.FAIL);
    }

    /** Better: commands for slots that somebody who has died still leads wait for another one. */
    static boolean isWellOrLeads(RedisClusterNode node) {
        return isWell(node) || !node.hasNoSlots();
    }

    /** Of what a server that is killed leaves unanswered Lettuce makes the oldest command of a connection fail, and sends the others again. */
    static final String RESET = "Connection reset";
    /** When Lettuce gives up the connection to a node that has left the map, what is just being sent there fails: one command of each thread. */
    static final String GIVEN_UP = "Connection closed|Connection is closed|CancellationException";

    /** All errors are of this kind, and no more than so many. */
    static void only(String kind, int most, List<String> errors) {
        Pattern pattern = Pattern.compile(kind);
        Suite.same(errors.stream().filter(error -> !pattern.matcher(error).find()).toList(), List.of());
        Suite.between(errors.size(), 0, most);
    }
}
