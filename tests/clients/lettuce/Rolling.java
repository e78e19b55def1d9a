import io.lettuce.core.api.sync.RedisStringCommands;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.protocol.ProtocolVersion;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/** Lettuce 7 while every node of a cluster is restarted, one after the other: as it comes, the application must see no error. */
final class Rolling {
    private static final List<Suite.Address> FORWARD = Suite.nodes("forward");

    /** What Lettuce has logged about pushes that it cannot read. */
    private static final Queue<String> COMPLAINTS = new ConcurrentLinkedQueue<>();

    public static void main(String[] arguments) {
        Logger.getLogger("").addHandler(new Complaints());
        Suite suite = new Suite("Lettuce 7");
        suite.test("in cluster mode, all nodes restarted one after the other", () -> allRestarted("cluster", cluster()));
        suite.test("at a forwarding port with maintenance notifications, all nodes restarted one after the other", () -> allRestarted("forwarding port", forwarded(null)));
        suite.test("at a forwarding port over RESP2, all nodes restarted one after the other", () -> allRestarted("forwarding port, RESP2", forwarded(ProtocolVersion.RESP2)));
        suite.test("in cluster mode, and with failed nodes left out of its map, a node stays away for some time", Rolling::stopped);
        suite.test("in cluster mode and at a forwarding port, a node added, another drained and stopped", Rolling::drained);
        suite.test("every push was one that Lettuce can read", () -> Suite.same(List.copyOf(COMPLAINTS), List.of()));
        suite.finish();
    }

    private static final class Complaints extends Handler {
        @Override
        public void publish(LogRecord line) {
            if (line.getMessage().startsWith("Invalid")) {
                COMPLAINTS.add(line.getMessage());
            }
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    }

    private static RedisStringCommands<String, String> cluster() {
        return Clients.ofCluster().connect().sync();
    }

    /** For nodes that stay away; that nodes which serve are never called failed is tested with it. */
    private static RedisClusterClient patient() {
        return Clients.ofCluster(null, Clients::isWell);
    }

    private static RedisStringCommands<String, String> forwarded(ProtocolVersion protocol) {
        return Clients.of(Clients.uri(FORWARD.get(0)), protocol).connect().sync();
    }

    private static void allRestarted(String what, RedisStringCommands<String, String> redis) throws Exception {
        Load load = new Load(redis, what);
        try (load) {
            load.goOn(1_000);
            for (int node = 1; node <= FORWARD.size(); node++) {
                ask("restart " + node);
                load.goOn(100);
            }
        }
        noErrors(what + ", all nodes restarted", load);
    }

    private static void stopped() throws Exception {
        Load load = new Load(patient().connect().sync(), "stopped");
        try (load) {
            load.goOn(1_000);
            ask("stop 2");
            load.goOn(10_000);
            ask("start 2");
            load.goOn(1_000);
        }
        noErrors("cluster, a node stopped for some time", load);
    }

    private static void drained() throws Exception {
        Load clustered = new Load(patient().connect().sync(), "drain cluster");
        Load forwarded = new Load(forwarded(null), "drain forwarding port");
        try (clustered; forwarded) {
            clustered.goOn(1_000);
            forwarded.goOn(1_000);
            for (String work : List.of("start 4", "drain 1", "stop 1")) {
                ask(work);
                clustered.goOn(100);
                forwarded.goOn(100);
            }
        }
        noErrors("cluster, a node drained and stopped", clustered);
        noErrors("forwarding port, a node drained and stopped", forwarded);
    }

    private static void noErrors(String what, Load load) {
        Suite.same(load.report(what), List.of());
        Suite.same(load.lost(), List.of());
    }

    /** Has one piece of work done, and waits for it. */
    private static void ask(String line) throws IOException {
        Suite.Address at = Suite.Address.from(System.getenv("TENURE_UPKEEP"));
        try (Socket socket = new Socket(at.host(), at.port())) {
            socket.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
            String answer = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8)).readLine();
            Suite.same(answer != null && answer.startsWith("ok") ? "ok" : answer, "ok");
        }
    }
}
