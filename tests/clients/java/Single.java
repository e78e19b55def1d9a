import static redis.clients.jedis.params.SetParams.setParams;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisPooled;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.args.ExpiryOption;
import redis.clients.jedis.commands.ProtocolCommand;
import redis.clients.jedis.exceptions.JedisAccessControlException;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.params.ClientKillParams;
import redis.clients.jedis.params.GetExParams;
import redis.clients.jedis.params.ScanParams;
import redis.clients.jedis.resps.ScanResult;
import redis.clients.jedis.util.KeyValue;

/** Jedis 6 at one server: its handshake, as it comes and over both protocols, and the replies that it must read. */
final class Single {
    private static final byte[] EVERY_BYTE = Suite.bytes(256);

    private final Suite suite;
    private final RedisProtocol protocol;
    private final JedisPooled client;

    private Single(Suite suite, RedisProtocol protocol) {
        this.suite = suite;
        this.protocol = protocol;
        this.client = open(0);
    }

    /** Threads of an application, and connections in its pool: fewer, so that they change hands. */
    private static final int THREADS = 20;
    private static final int POOLED = 8;

    public static void main(String[] arguments) {
        Suite suite = new Suite("Jedis 6");
        new Single(suite, null).run("as it comes");
        new Single(suite, RedisProtocol.RESP2).run("over RESP2");
        new Single(suite, RedisProtocol.RESP3).run("over RESP3");
        suite.finish();
    }

    private void run(String label) {
        client.flushAll();
        test(label, "the handshake leaves a connection with name, library and protocol", this::handshake);
        test(label, "a password where none is set is refused as Redis refuses it", this::password);
        test(label, "every byte comes back, of a long value too", this::bytes);
        test(label, "SET, GETEX and EXPIRE with their options", this::lifetimes);
        test(label, "hashes are maps, scans of one end", this::hashes);
        test(label, "a pipeline answers in order, errors in their places", this::pipeline);
        test(label, "a scan sees every key", this::scan);
        test(label, "errors are JedisDataException and the connection goes on", this::errors);
        test(label, "a client of another database is apart", this::databases);
        test(label, "a connection that was killed is replaced", this::killed);
        test(label, THREADS + " threads share a pool of " + POOLED, this::threads);
        suite.testOfTenure(label + ", SESSION.* as commands that Jedis does not know", this::sessions);
        client.close();
    }

    private void test(String label, String name, Suite.Work work) {
        suite.test(label + ", " + name, work);
    }

    private DefaultJedisClientConfig.Builder config() {
        return DefaultJedisClientConfig.builder().protocol(protocol).clientName("suite");
    }

    private JedisPooled open(int database) {
        ConnectionPoolConfig pool = new ConnectionPoolConfig();
        pool.setMaxTotal(POOLED);
        return new JedisPooled(Servers.SERVER, config().database(database).build(), pool);
    }

    private void handshake() {
        Suite.same(client.ping(), "PONG");
        try (Jedis jedis = new Jedis(Servers.SERVER, config().build())) {
            Suite.same(jedis.clientGetname(), "suite");
            // Redis 7.0 does not know CLIENT SETINFO yet, and Jedis does not mind.
            if (Suite.IS_TENURE) {
                String info = jedis.clientInfo();
                Suite.same(info.contains(" lib-name=jedis ") && info.contains(" lib-ver=6.0.0"), true);
                Suite.same(info.contains(" resp=" + (protocol == RedisProtocol.RESP3 ? 3 : 2)), true);
            }
        }
    }

    private void password() throws Exception {
        Suite.Work unnamed = () -> new Jedis(Servers.SERVER, config().password("wrong").build()).close();
        Suite.throwsWith(JedisDataException.class, "without any password configured", unnamed);
        Suite.Work named = () -> new Jedis(Servers.SERVER, config().user("nobody").password("wrong").build()).close();
        Suite.throwsWith(JedisAccessControlException.class, "WRONGPASS", named);
    }

    private void bytes() {
        byte[] key = "bytes".getBytes(StandardCharsets.UTF_8);
        client.set(key, EVERY_BYTE);
        Suite.same(client.get(key), EVERY_BYTE);
        Suite.same(client.set(EVERY_BYTE, new byte[0]), "OK");
        Suite.same(client.get(EVERY_BYTE), new byte[0]);
        byte[] large = Suite.bytes(1_000_000);
        client.set(key, large);
        Suite.same(client.get(key), large);
        client.set("text", "Grüße, 世界");
        Suite.same(client.get("text"), "Grüße, 世界");
    }

    private void lifetimes() {
        Suite.same(client.set("k", "v", setParams().nx().px(90_000)), "OK");
        Suite.same(client.set("k", "w", setParams().nx()), null);
        Suite.between(client.pttl("k"), 80_000, 90_000);
        Suite.same(client.set("k", "w", setParams().xx().keepTtl()), "OK");
        Suite.between(client.pttl("k"), 80_000, 90_000);
        Suite.same(client.setGet("k", "x", setParams().ex(50)), "w");
        Suite.between(client.ttl("k"), 45, 50);
        Suite.same(client.getEx("k", new GetExParams().persist()), "x");
        Suite.same(client.ttl("k"), -1L);
        Suite.same(client.expire("k", 100, ExpiryOption.NX), 1L);
        Suite.same(client.expire("k", 50, ExpiryOption.GT), 0L);
        Suite.same(client.set("absent", "v", setParams().xx()), null);
        Suite.same(client.getDel("k"), "x");
        Suite.same(client.ttl("k"), -2L);
        Suite.same(client.setnx("n", "1"), 1L);
        Suite.same(client.incrBy("n", 41), 42L);
    }

    private void hashes() {
        Map<String, String> fields = new HashMap<>();
        Suite.list(0, 300, n -> fields.put("f" + n, "v" + n));
        Suite.same(client.hset("hash", fields), 300L);
        Suite.same(client.hgetAll("hash"), fields);
        Map<String, String> seen = new HashMap<>();
        String cursor = ScanParams.SCAN_POINTER_START;
        do {
            ScanResult<Map.Entry<String, String>> page = client.hscan("hash", cursor, new ScanParams().count(10));
            page.getResult().forEach(field -> seen.put(field.getKey(), field.getValue()));
            cursor = page.getCursor();
        } while (!cursor.equals(ScanParams.SCAN_POINTER_START));
        Suite.same(seen, fields);
        Suite.same(client.hmget("hash", "f1", "absent"), Arrays.asList("v1", null));
        Suite.same(client.hincrByFloat("hash", "x", 1.5), 1.5);
        Suite.same(client.hincrBy("hash", "n", 3), 3L);
        Suite.same(client.hrandfieldWithValues("hash", 5).size(), 5);
        Suite.same(client.hdel("hash", "f1", "f2", "absent"), 2L);
        Suite.same(client.hlen("hash"), 300L);
    }

    private void pipeline() throws Exception {
        try (Pipeline pipeline = client.pipelined()) {
            pipeline.set("{p}", "1");
            Response<Long> two = pipeline.incr("{p}");
            Response<String> wrong = pipeline.hget("{p}", "f");
            Response<List<String>> many = pipeline.mget("{p}", "{p}absent");
            pipeline.sync();
            Suite.same(two.get(), 2L);
            Suite.throwsWith(JedisDataException.class, "WRONGTYPE", wrong::get);
            Suite.same(many.get(), Arrays.asList("2", null));
        }
        try (Pipeline pipeline = client.pipelined()) {
            Suite.list(0, 5_000, n -> pipeline.set("deep:" + n, String.valueOf(n)));
            List<Response<String>> values = Suite.list(0, 5_000, n -> pipeline.get("deep:" + n));
            pipeline.sync();
            Suite.same(Suite.list(0, 5_000, n -> values.get(n).get()), Suite.list(0, 5_000, String::valueOf));
        }
    }

    private void scan() {
        try (Pipeline pipeline = client.pipelined()) {
            Suite.list(0, 3_000, n -> pipeline.set("scan:" + n, "v"));
            pipeline.sync();
        }
        Set<String> seen = Servers.scanned(client, "scan:*", 100);
        Suite.same(seen, new HashSet<>(Suite.list(0, 3_000, n -> "scan:" + n)));
    }

    private void errors() throws Exception {
        try (Jedis jedis = new Jedis(Servers.SERVER, config().build())) {
            jedis.set("word", "x");
            long before = jedis.clientId();
            Suite.throwsWith(JedisDataException.class, "not an integer", () -> jedis.incr("word"));
            Suite.throwsWith(JedisDataException.class, "WRONGTYPE", () -> jedis.hgetAll("word"));
            Suite.throwsWith(JedisDataException.class, "unknown command", () -> jedis.sendCommand(Unknown.NOSUCHCOMMAND));
            Suite.throwsWith(JedisDataException.class, "wrong number of arguments", () -> jedis.sendCommand(Protocol.Command.GET));
            Suite.same(jedis.clientId(), before);
        }
    }

    private void databases() {
        client.set("where", "zero");
        try (JedisPooled other = open(7)) {
            Suite.same(other.get("where"), null);
            other.set("where", "seven");
        }
        Suite.same(client.get("where"), "zero");
    }

    private void killed() throws Exception {
        try (Jedis victim = new Jedis(Servers.SERVER, config().build())) {
            kill(victim.clientId());
            if (Suite.IS_FORWARDED) {
                // The port opens another one to its node, and its client sees nothing.
                Suite.same(victim.ping(), "PONG");
                return;
            }
            Suite.throwsWith(JedisConnectionException.class, "", victim::ping);
            Suite.same(victim.isBroken(), true);
        }
        // The pool's own: the request that finds it dead fails, the next one gets a new connection.
        try (JedisPooled pooled = open(0)) {
            long id = (Long) pooled.sendCommand(Protocol.Command.CLIENT, "ID");
            kill(id);
            Suite.throwsWith(JedisConnectionException.class, "", pooled::ping);
            Suite.same(pooled.ping(), "PONG");
            Suite.same(pooled.sendCommand(Protocol.Command.CLIENT, "ID").equals(id), false);
        }
    }

    private void kill(long id) {
        try (Jedis other = new Jedis(Servers.SERVER, config().build())) {
            Suite.same(other.clientKill(ClientKillParams.clientKillParams().id(String.valueOf(id))), 1L);
        }
    }

    private void threads() throws Exception {
        Suite.together(THREADS, thread -> {
            String own = "thread:" + thread;
            for (int n = 1; n <= 200; n++) {
                Suite.same(client.incr("together") > 0, true);
                Suite.same(client.hincrBy(own, "n", 1), (long) n);
                Suite.same(client.hget(own, "n"), String.valueOf(n));
            }
        });
        Suite.same(client.get("together"), String.valueOf(THREADS * 200));
    }

    private void sessions() throws Exception {
        Map<String, Object> created = session(Session.CREATE, "ID", "s", "USER", "ann", "IDLE", "60000", "FIELDS", "1", "cart", "tea");
        Suite.same(created.get("user"), "ann");
        Map<String, Object> held = session(Session.OPEN, "s", "HOLD", "60000");
        Suite.same(asMap(held.get("fields")), Map.of("cart", "tea"));
        String fence = String.valueOf(held.get("fence"));
        // The holder's own connection may write; with a pool it is any connection's turn, so another client is asked.
        try (Jedis other = new Jedis(Servers.SERVER, config().build())) {
            Suite.throwsWith(JedisDataException.class, "HELD", () -> other.hset("s", "cart", "coffee"));
            Suite.throwsWith(JedisDataException.class, "HELD", () -> other.sendCommand(Session.OPEN, "s", "HOLD", "60000"));
        }
        client.sendCommand(Session.COMMIT, "s", fence, "SET", "1", "cart", "cup");
        Suite.throwsWith(JedisDataException.class, "FENCED", () -> client.sendCommand(Session.COMMIT, "s", "999999999999", "SET", "1", "cart", "late"));
        Suite.same(client.hgetAll("s"), Map.of("cart", "cup"));
        Suite.same(client.sendCommand(Session.DESTROY, "s"), 1L);
        Suite.same(client.sendCommand(Session.READ, "s"), null);
    }

    private Map<String, Object> session(Session command, String... words) {
        return asMap(client.sendCommand(command, words));
    }

    /** Pairs, or a flat list of names and values, as the protocol has it; bytes as text. */
    private static Map<String, Object> asMap(Object reply) {
        Map<String, Object> map = new HashMap<>();
        List<?> items = (List<?>) reply;
        if (!items.isEmpty() && items.get(0) instanceof KeyValue) {
            items.forEach(item -> {
                KeyValue<?, ?> pair = (KeyValue<?, ?>) item;
                map.put((String) text(pair.getKey()), text(pair.getValue()));
            });
        } else {
            for (int n = 0; n < items.size(); n += 2) {
                map.put((String) text(items.get(n)), text(items.get(n + 1)));
            }
        }
        return map;
    }

    private static Object text(Object value) {
        return value instanceof byte[] bytes ? new String(bytes, StandardCharsets.UTF_8) : value;
    }

    private enum Session implements ProtocolCommand {
        CREATE, OPEN, READ, COMMIT, DESTROY;

        @Override
        public byte[] getRaw() {
            return ("SESSION." + name()).getBytes(StandardCharsets.US_ASCII);
        }
    }

    private enum Unknown implements ProtocolCommand {
        NOSUCHCOMMAND;

        @Override
        public byte[] getRaw() {
            return name().getBytes(StandardCharsets.US_ASCII);
        }
    }
}
