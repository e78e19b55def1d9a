import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.commands.KeyCommands;
import redis.clients.jedis.params.ScanParams;
import redis.clients.jedis.resps.ScanResult;

/** The servers under test as Jedis takes them, and a scan of one. */
final class Servers {
    static final HostAndPort SERVER = of(Suite.SERVER);

    private Servers() {}

    private static HostAndPort of(Suite.Address address) {
        return new HostAndPort(address.host(), address.port());
    }

    /** The addresses of a cluster's nodes. */
    static Set<HostAndPort> nodes() {
        return Suite.nodes().stream().map(Servers::of).collect(Collectors.toSet());
    }

    /** In the runner's order. */
    static Set<HostAndPort> sentinels() {
        return Suite.sentinels().stream().map(Servers::of).collect(Collectors.toCollection(LinkedHashSet::new));
    }

    static HostAndPort lastSentinel() {
        List<Suite.Address> all = Suite.sentinels();
        return of(all.get(all.size() - 1));
    }

    /** All keys of one server that match, in pages of about so many. */
    static Set<String> scanned(KeyCommands client, String pattern, int count) {
        Set<String> seen = new HashSet<>();
        String cursor = ScanParams.SCAN_POINTER_START;
        do {
            ScanResult<String> page = client.scan(cursor, new ScanParams().match(pattern).count(count));
            seen.addAll(page.getResult());
            cursor = page.getCursor();
        } while (!cursor.equals(ScanParams.SCAN_POINTER_START));
        return seen;
    }
}
