import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.IntFunction;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** For all clients in Java: counts results and prints them in the Test Anything Protocol; knows what the runner says of the servers. */
final class Suite {
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    static final boolean IS_TENURE = "tenure".equals(System.getenv("TENURE_SERVER"));
    /** One server for all keys of a cluster: what it says of a connection is of its own one, to a node. */
    static final boolean IS_FORWARDED = IS_TENURE && System.getenv("TENURE_NODES") != null;
    static final Address SERVER = Address.from(System.getenv("TENURE_ADDR"));

    private final String about;
    private int count;
    private int failed;

    Suite(String about) {
        this.about = about;
    }

    record Address(String host, int port) {
        static Address from(String text) {
            int colon = text.lastIndexOf(':');
            return new Address(text.substring(0, colon), Integer.parseInt(text.substring(colon + 1)));
        }
    }

    /** What a test does; it fails by throwing. */
    interface Work {
        void run() throws Exception;
    }

    void test(String name, Work work) {
        count++;
        try {
            work.run();
            print("ok %d - %s: %s", count, about, name);
        } catch (Throwable error) {
            failed++;
            print("not ok %d - %s: %s", count, about, name);
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                print("  %s", cause);
                Arrays.stream(cause.getStackTrace()).limit(12).forEach(line -> print("    %s", line));
            }
        }
    }

    /** For what only Tenure has. */
    void testOfTenure(String name, Work work) {
        if (IS_TENURE) {
            test(name, work);
        } else {
            print("# skipped %s: only Tenure has it", name);
        }
    }

    void finish() {
        print("1..%d", count);
        System.exit(failed == 0 ? 0 : 1);
    }

    /** One line as one piece: a library's log goes the same way. */
    static void print(String line, Object... values) {
        System.out.println(line.formatted(values));
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
            } catch (RuntimeException error) {
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
    static List<Address> nodes() {
        return nodes("address");
    }

    /** The same, or their other ones: `forward`. */
    static List<Address> nodes(String which) {
        return told("\"%s\": \"([^\"]+)\"".formatted(which)).map(found -> Address.from(found.group(1))).toList();
    }

    /** In the runner's order. In Tenure the first Sentinel ends with the first node, which is the master. */
    static List<Address> sentinels() {
        return Arrays.stream(System.getenv("TENURE_SENTINELS").split(",")).map(Address::from).toList();
    }

    /** Kills the process that serves this port, at once. */
    static void kill(int port) {
        MatchResult node = told("\"address\": \"[^\"]+:%d\", \"pid\": (\\d+)".formatted(port)).findFirst().orElseThrow();
        ProcessHandle.of(Long.parseLong(node.group(1))).orElseThrow().destroyForcibly();
    }

    /** Redis replicates after it has acknowledged: what was just written must reach the replica before its primary is killed. */
    static void letReplicate() throws InterruptedException {
        Thread.sleep(200);
    }

    // Java has no JSON of its own, and the text is the runner's.
    private static Stream<MatchResult> told(String pattern) {
        return Pattern.compile(pattern).matcher(System.getenv("TENURE_NODES")).results();
    }

    /** Of every value, if there are 256 or more. */
    static byte[] bytes(int length) {
        byte[] all = new byte[length];
        for (int n = 0; n < length; n++) {
            all[n] = (byte) (n * 31);
        }
        return all;
    }

    /** What one of several threads does; it fails by throwing. */
    interface Part {
        void run(int thread) throws Exception;
    }

    /** Lets so many threads do their parts at the same time, and waits for all. */
    static void together(int threads, Part part) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            List<Future<?>> all = list(0, threads, thread -> pool.submit(() -> {
                part.run(thread);
                return null;
            }));
            for (Future<?> one : all) {
                one.get();
            }
        } finally {
            pool.shutdownNow();
        }
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
