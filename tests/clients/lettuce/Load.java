import io.lettuce.core.api.sync.RedisStringCommands;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;

/** Threads that write and read without pause; every error that Lettuce lets through is kept, and what was acknowledged. */
final class Load implements AutoCloseable {
    static final int LANES = 4;
    private static final int KEYS = 500;

    /** Requests that were answered as they should be. */
    private final AtomicLong answered = new AtomicLong();
    private final Queue<String> errors = new ConcurrentLinkedQueue<>();
    private final Map<String, Integer> acknowledged = new ConcurrentHashMap<>();
    private final RedisStringCommands<String, String> redis;
    private final long began = System.nanoTime();
    private final List<Thread> threads;
    private volatile boolean ends;
    private double longest;
    private String longestWhich = "";

    Load(RedisStringCommands<String, String> redis, String name) {
        this.redis = redis;
        this.threads = Suite.list(0, LANES, lane -> new Thread(() -> lane(name + ":" + lane)));
        threads.forEach(Thread::start);
    }

    private void lane(String name) {
        for (int number = 0; !ends; number++) {
            String key = name + ":" + number % KEYS;
            String value = String.valueOf(number);
            // What a write that failed has left is not known.
            if (timed("SET " + key, () -> redis.set(key, value), "OK")) {
                acknowledged.put(key, number);
                timed("GET " + key, () -> redis.get(key), value);
            }
        }
    }

    private boolean timed(String what, Callable<String> work, String wanted) {
        long start = System.nanoTime();
        String wrong = null;
        try {
            String got = work.call();
            if (!wanted.equals(got)) {
                wrong = got + " instead of " + wanted;
            }
        } catch (Exception error) {
            wrong = String.valueOf(error);
        }
        double took = milliseconds(start);
        String which = "%s after %.1f s".formatted(what, (start - began) / 1e9);
        if (wrong != null) {
            errors.add("%s, %.0f ms long: %s".formatted(which, took, wrong));
        } else {
            answered.incrementAndGet();
        }
        noteLongest(took, which);
        return wrong == null;
    }

    private synchronized void noteLongest(double took, String which) {
        if (took > longest) {
            longest = took;
            longestWhich = which;
        }
    }

    private static double milliseconds(long since) {
        return (System.nanoTime() - since) / 1e6;
    }

    /** Waits until so many more requests have been answered. */
    void goOn(int more) throws Exception {
        long enough = answered.get() + more;
        try {
            Suite.eventuallyTrue(more + " more requests answered", () -> answered.get() >= enough);
        } catch (AssertionError error) {
            throw new AssertionError((enough - answered.get()) + " are missing, errors so far: " + errors, error);
        }
    }

    @Override
    public void close() {
        ends = true;
        threads.forEach(Load::join);
    }

    private static void join(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException nobodyDoesThat) {
            throw new AssertionError(nobodyDoesThat);
        }
    }

    /** One line for people, which the runner shows; answers the errors. */
    List<String> report(String what) {
        Suite.print("| Lettuce 7, %s: %d requests, %d errors, longest %.0f ms (%s)", what, answered.get() + errors.size(), errors.size(), longest, longestWhich);
        return List.copyOf(errors);
    }

    /** Keys whose value is older than one that was acknowledged; to be asked when the load has ended. */
    List<String> lost() {
        return acknowledged.entrySet().stream().filter(last -> !isThere(last.getKey(), last.getValue())).map(Map.Entry::getKey).toList();
    }

    private boolean isThere(String key, int acknowledged) {
        String value = redis.get(key);
        return value != null && Integer.parseInt(value) >= acknowledged;
    }
}
