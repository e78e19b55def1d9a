import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.IntFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.commands.KeyCommands;
import redis.clients.jedis.exceptions.JedisException;
import redis.clients.jedis.params.ScanParams;
import redis.clients.jedis.resps.ScanResult;

/** Counts results and prints them in the Test Anything Protocol; knows what the runner says of the servers. */
final class Suite {
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    static final boolean IS_TENURE = "tenure".equals(System.getenv("TENURE_SERVER"));
    /** One server for all keys of a cluster: what it says of a connection is of its own one, to a node. */
    static final boolean IS_FORWARDED = IS_TENURE && System.getenv("TENURE_NODES") != null;
    static final HostAndPort SERVER = HostAndPort.from(System.getenv("TENURE_ADDR"));

    private final String about;
    private int count;
    private int failed;

    Suite(String about) {
        this.about = about;
    }

    /** What a test does; it fails by throwing. */
    interface Work {
        void run() throws Exception;
    }

    void test(String name, Work work) {
        count++;
        try {
            work.run();
            System.out.printf("ok %d - %s: %s%n", count, about, name);
        } catch (Throwable error) {
            failed++;
            System.out.printf("not ok %d - %s: %s%n", count, about, name);
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                System.out.printf("  %s%n", cause);
                Arrays.stream(cause.getStackTrace()).limit(12).forEach(line -> System.out.printf("    %s%n", line));
            }
        }
    }

    /** For what only Tenure has. */
    void testOfTenure(String name, Work work) {
        if (IS_TENURE) {
            test(name, work);
        } else {
            System.out.printf("# skipped %s: only Tenure has it%n", name);
        }
    }

    void finish() {
        System.out.printf("1..%d%n", count);
        System.exit(failed == 0 ? 0 : 1);
    }

    static void same(Object got, Object wanted) {
        if (!Objects.deepEquals(got, wanted)) {
            throw new AssertionError("got " + show(got) + ", wanted " + show(wanted));
        }
    }

    static void between(long got, long low, long high) {
        if (got < low || got > high) {
            throw new AssertionError("got " + got + ", wanted " + low + " to " + high);
        }
    }

    /** The work must throw this, with this in its message. */
    static void throwsWith(Class<? extends Exception> kind, String message, Work work) throws Exception {
        try {
            work.run();
        } catch (Exception error) {
            if (!kind.isInstance(error) || !String.valueOf(error.getMessage()).contains(message)) {
                throw error;
            }
            return;
        }
        throw new AssertionError("no " + kind.getSimpleName() + " with \"" + message + "\"");
    }

    /** Tries until it works: a failover takes as long as it takes. */
    static <T> T eventually(Callable<T> work) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            try {
                return work.call();
            } catch (JedisException error) {
                if (System.nanoTime() > deadline) {
                    throw error;
                }
                Thread.sleep(20);
            }
        }
    }

    static void eventuallyTrue(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.call()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + " does not become true");
            }
            Thread.sleep(20);
        }
    }

    /** The addresses of a cluster's nodes. */
    static Set<HostAndPort> nodes() {
        return new HashSet<>(nodePids().keySet());
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

    /** In the runner's order. */
    static Set<HostAndPort> sentinels() {
        Set<HostAndPort> all = new LinkedHashSet<>();
        for (String at : System.getenv("TENURE_SENTINELS").split(",")) {
            all.add(HostAndPort.from(at));
        }
        return all;
    }

    /** In Tenure the first Sentinel ends with the first node, which is the master. */
    static HostAndPort lastSentinel() {
        return sentinels().stream().reduce((first, second) -> second).orElseThrow();
    }

    /** Kills the process that serves this port, at once. */
    static void kill(int port) {
        for (Map.Entry<HostAndPort, Long> node : nodePids().entrySet()) {
            if (node.getKey().getPort() == port) {
                ProcessHandle.of(node.getValue()).orElseThrow().destroyForcibly();
                return;
            }
        }
        throw new AssertionError("nobody serves port " + port);
    }

    /** Redis replicates after it has acknowledged: what was just written must reach the replica before its primary is killed. */
    static void letReplicate() throws InterruptedException {
        Thread.sleep(200);
    }

    // Java has no JSON of its own, and the text is the runner's.
    private static Map<HostAndPort, Long> nodePids() {
        Map<HostAndPort, Long> all = new HashMap<>();
        Matcher found = Pattern.compile("\"address\": \"([^\"]+)\", \"pid\": (\\d+)").matcher(System.getenv("TENURE_NODES"));
        while (found.find()) {
            all.put(HostAndPort.from(found.group(1)), Long.valueOf(found.group(2)));
        }
        return all;
    }

    private static String show(Object value) {
        if (value instanceof byte[] bytes) {
            return bytes.length + " bytes " + Arrays.toString(Arrays.copyOf(bytes, Math.min(bytes.length, 40)));
        }
        return String.valueOf(value);
    }

    /** Numbers from `from` to before `to`, each made into what `make` says. */
    static <T> List<T> list(int from, int to, IntFunction<T> make) {
        List<T> all = new ArrayList<>();
        for (int n = from; n < to; n++) {
            all.add(make.apply(n));
        }
        return all;
    }
}
