"""Random commands: every command of the first release with its options, and what people get wrong.

A generator yields steps. A step is a command on one of the connections, or a compound that has to
stay together: a scan walked to its end, a lifetime of a few milliseconds waited out.
"""

import time
from dataclasses import dataclass

import divergence

CONNECTIONS = 3

KEYS = [b"a", b"b", b"c", b"sess:1", b"sess:2", b"{tag}x", b"{tag}y", b"", b"\x00\xff bin\r\n", b"h1", b"h2", b"h3"]
FIELDS = [b"f", b"g", b"user", b"cart", b"", b"\xff\x00", b"n"]
INTEGERS = [b"0", b"1", b"-1", b"5", b"100", b"-7", b"9223372036854775807", b"-9223372036854775808", b"4294967296"]
BAD_INTEGERS = [b"9223372036854775808", b"-9223372036854775809", b"1.5", b"abc", b"", b" 1", b"1 ", b"+1", b"01", b"-0",
                b"0x10", b"1e3", b"99999999999999999999999", b"--1", b"\x001"]  # fmt: skip
FLOATS = [b"0", b"1.5", b"-2.25", b"0.1", b"3.0e3", b"1e-5", b"1e17", b"10", b"-0.3", b".5", b"5.", b"123456789.123456789"]
BAD_FLOATS = [b"nan", b"inf", b"-inf", b"abc", b"", b" 1.5", b"1.5 ", b"1,5", b"1e5000"]
WORDS = [b"value", b"", b"x", b"hello world", b"two\r\nlines", b"\x00\x01\xfe\xff", "h\u00e9llo".encode(), b"OK", b"*", b"-1"]
PATTERNS = [b"*", b"a*", b"?", b"[abc]", b"[^a]", b"sess:*", b"\\*", b"h[1-2]", b"[", b"*:*", b"{tag}*", b"nothing*", b"", b"[a", b"h\\1", b"**1"]
JUNK = [b"NOSUCH", b"", b"0", b"-1", b"NX", b"EX", b"\xff", b"MATCH", b"COUNT", b"9223372036854775807", b"GET", b"KEEPTTL"]
# Lifetimes that end neither now nor soon, so that two servers cannot disagree by a millisecond.
LIFETIMES_S = [b"100", b"1000", b"86400", b"31536000"]
BAD_LIFETIMES = [b"0", b"-1", b"-100", b"9223372036854775807", b"-9223372036854775808", b"18446744073709551616", b"abc", b"1.5", b""]
# Out of range in seconds. In milliseconds Redis takes them; Tenure ends such a lifetime in the year 10889.
BEYOND_S = [b"9223372036854775", b"92233720368547758"]


@dataclass(frozen=True)
class Call:
    """One command on one connection."""

    connection: int
    words: tuple


@dataclass(frozen=True)
class Walk:
    """A scan from cursor 0 to cursor 0; `words` has the cursor at `cursor_at`."""

    connection: int
    words: tuple
    cursor_at: int


@dataclass(frozen=True)
class Float:
    """A command that adds a float. Redis computes in 80 bits: a result that differs only in digits
    beyond those is right too, and is then removed on both servers."""

    connection: int
    words: tuple


@dataclass(frozen=True)
class Brief:
    """A command that gives `key` a few milliseconds to live, then a wait, then a look at it."""

    connection: int
    words: tuple
    key: bytes
    pause_s: float


class Generator:
    """Steps from one random source; the same source gives the same steps."""

    def __init__(self, random, makers):
        self.random = random
        self.makers = makers
        self.connection = 0
        self.switching = random.choice([0.02, 0.2, 0.5])
        # A little behind, so that no deadline that is told equals one that is counted from now.
        self.now_s = int(time.time()) - 10

    def step(self):
        """The next step."""
        random = self.random
        if random.random() < self.switching:
            self.connection = random.randrange(CONNECTIONS)
        roll = random.random()
        if roll < 0.01:
            return self._brief()
        if roll < 0.04:
            return self._walk()
        words = self._words()
        kind = Float if words[0].upper() in (b"INCRBYFLOAT", b"HINCRBYFLOAT") else Call
        return kind(self.connection, words)

    def _words(self):
        words = self._any_words()
        while not divergence.is_sent(words) or _stops_everybody(words):
            words = self._any_words()
        return words

    def _any_words(self):
        make = self.random.choice(self.makers)
        return tuple(self._spoiled(self._cased(make(self))))

    # What commands are made of.

    def key(self):
        return self.random.choice(KEYS)

    def field(self):
        if self.random.random() < 0.1:
            return b"field-%d" % self.random.randrange(300)
        return self.random.choice(FIELDS)

    def integer(self):
        return self._mostly(INTEGERS, BAD_INTEGERS)

    def float(self):
        return self._mostly(FLOATS, BAD_FLOATS)

    def index(self):
        return self._mostly([b"%d" % n for n in range(-12, 13)], BAD_INTEGERS)

    def value(self):
        roll = self.random.random()
        if roll < 0.45:
            return self.random.choice(WORDS)
        if roll < 0.7:
            return self.random.choice(INTEGERS + FLOATS + BAD_INTEGERS)
        if roll < 0.97:
            return self.blob(self.random.choice([10, 43, 44, 45, 63, 64, 65, 127, 128, 300]))
        return self.blob(self.random.choice([4_000, 16_384, 70_000]))

    def likely(self):
        """One of so few values that a key often has it."""
        return self.random.choice([b"a", b"b", b"", b"1", b"01", b"x" * 50])

    def blob(self, size):
        letters = bytes([self.random.randrange(256), self.random.randrange(97, 123)])
        return (letters * (size // 2 + 1))[:size]

    def lifetime(self, unit):
        """A word for EX, PX, EXAT or PXAT: mostly far from now."""
        seconds = self._mostly(LIFETIMES_S, BAD_LIFETIMES + (BEYOND_S if unit == b"EX" else []))
        if seconds not in LIFETIMES_S or unit == b"EX":
            return seconds
        scaled = int(seconds) if unit in (b"EX", b"PX") else int(seconds) + self.now_s
        return b"%d" % (scaled * (1000 if unit in (b"PX", b"PXAT") else 1))

    def some(self, make, most=4):
        return [make() for _ in range(self.random.randint(1, most))]

    def pairs(self, first, second, most=4):
        return [word for _ in range(self.random.randint(1, most)) for word in (first(), second())]

    def maybe(self, *words, chance=0.4):
        return list(words) if self.random.random() < chance else []

    def pick(self, *choices):
        return self.random.choice(choices)

    def _mostly(self, good, bad):
        return self.random.choice(good if self.random.random() < 0.85 else bad)

    # What people get wrong.

    def _cased(self, words):
        roll = self.random.random()
        if roll < 0.3:
            return [words[0].lower(), *words[1:]]
        if roll < 0.4:
            return [bytes(c ^ 0x20 if chr(c).isalpha() and self.random.random() < 0.5 else c for c in words[0]), *words[1:]]
        if roll < 0.5 and len(words) > 2:
            at = self.random.randrange(1, len(words))
            return [*words[:at], words[at].swapcase() if words[at].isupper() else words[at], *words[at + 1 :]]
        return words

    def _spoiled(self, words):
        roll = self.random.random()
        if roll < 0.03 and len(words) > 1:
            return words[:-1]
        if roll < 0.06:
            return [*words, self.random.choice(JUNK)]
        if roll < 0.09 and len(words) > 1:
            at = self.random.randrange(1, len(words))
            return [*words[:at], self.random.choice(JUNK), *words[at + 1 :]]
        if roll < 0.095:
            return words[:1]
        return words

    # Compounds.

    def _brief(self):
        key = self.key()
        ms = b"%d" % self.random.randint(1, 3)
        words = self.pick(
            (b"SET", key, b"v", b"PX", ms),
            (b"PSETEX", key, ms, b"v"),
            (b"PEXPIRE", key, ms),
            (b"GETEX", key, b"PX", ms),
            (b"PEXPIRE", key, ms, b"XX"),
        )
        return Brief(self.connection, words, key, 0.008)

    def _walk(self):
        tail = self.maybe(b"MATCH", self.random.choice(PATTERNS)) + self.maybe(b"COUNT", self.pick(b"1", b"3", b"10", b"1000"))
        if self.random.random() < 0.5:
            return Walk(self.connection, (b"HSCAN", self.pick(b"h1", b"h2", b"h3"), b"0", *tail), 2)
        tail += self.maybe(b"TYPE", self.pick(b"string", b"hash", b"list", b"zset"))
        return Walk(self.connection, (b"SCAN", b"0", *tail), 1)


def _stops_everybody(words):
    """A pause that was made long by a number put into it."""
    return words[0].upper() == b"CLIENT" and words[2:3] == (b"9223372036854775807",)


def _set(g):
    words = [b"SET", g.key(), g.value()]
    options = g.maybe(g.pick(b"NX", b"XX"), chance=0.35) + g.maybe(b"GET", chance=0.25)
    if g.random.random() < 0.5:
        unit = g.pick(b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL")
        options += [unit] if unit == b"KEEPTTL" else [unit, g.lifetime(unit)]
    options += g.maybe(g.pick(b"NX", b"XX", b"KEEPTTL", b"GET", b"PERSIST"), chance=0.05)
    if g.random.random() < 0.3 and not any(option in (b"EX", b"PX", b"EXAT", b"PXAT") for option in options):
        g.random.shuffle(options)
    return words + options


def _getex(g):
    unit = g.pick(b"EX", b"PX", b"EXAT", b"PXAT", b"PERSIST", None)
    tail = [] if unit is None else [unit] if unit == b"PERSIST" else [unit, g.lifetime(unit)]
    return [b"GETEX", g.key(), *tail, *g.maybe(b"PERSIST", chance=0.05)]


def _expire(g):
    name = g.pick(b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT")
    unit = {b"EXPIRE": b"EX", b"PEXPIRE": b"PX", b"EXPIREAT": b"EXAT", b"PEXPIREAT": b"PXAT"}[name]
    condition = g.maybe(g.pick(b"NX", b"XX", b"GT", b"LT"), chance=0.5)
    condition += g.maybe(g.pick(b"NX", b"XX", b"GT", b"LT", b"ZZ"), chance=0.15)
    lifetime = g.lifetime(unit)
    if b"GT" in condition and len(lifetime) < 18 and lifetime.isdigit() and lifetime != b"0":
        # Counted from now, the same lifetime again is later or not by the chance of a millisecond.
        more_s = g.random.randrange(60, 10_000)
        lifetime = b"%d" % (int(lifetime) + more_s * (1000 if unit in (b"PX", b"PXAT") else 1))
    return [name, g.key(), lifetime, *condition]


def _lcs(g):
    tail = g.maybe(b"LEN", chance=0.3) + g.maybe(b"IDX", chance=0.5) + g.maybe(b"MINMATCHLEN", g.index(), chance=0.3)
    return [b"LCS", g.key(), g.key(), *tail, *g.maybe(b"WITHMATCHLEN", chance=0.3)]


def _setrange(g):
    offset = g.pick(b"0", b"1", b"5", b"100", b"4096", b"-1", b"536870912", b"9223372036854775807", b"abc")
    return [b"SETRANGE", g.key(), offset, g.pick(b"", b"xyz", b"\x00", b"longer than before")]


def _hash_key(g):
    return g.pick(b"h1", b"h2", b"h3", g.key())


def _hrandfield(g):
    words = [b"HRANDFIELD", _hash_key(g)]
    if g.random.random() < 0.7:
        words += [g.pick(b"0", b"1", b"2", b"5", b"1000", b"-1", b"-5", b"-9223372036854775808", b"abc")]
        words += g.maybe(g.pick(b"WITHVALUES", b"WITHVALUE"), chance=0.5)
    return words


def _hset_many(g):
    return [b"HSET", g.pick(b"h1", b"h2", b"h3"), *g.pairs(g.field, g.value, most=40)]


def _copy(g):
    tail = g.maybe(b"DB", g.pick(b"0", b"1", b"15", b"16", b"-1", b"abc"), chance=0.3) + g.maybe(b"REPLACE", chance=0.5)
    return [b"COPY", g.key(), g.key(), *tail]


def _move(g):
    return [b"MOVE", g.key(), g.pick(b"0", b"1", b"1", b"15", b"16", b"-1", b"abc", b"4294967296")]


def _scan_error(g):
    return g.pick(
        [b"SCAN", g.pick(b"abc", b"1.5", b"18446744073709551616")],
        [b"SCAN", b"0", b"COUNT", g.pick(b"0", b"-1", b"abc")],
        [b"SCAN", b"0", b"MATCH"],
        [b"SCAN", b"0", b"NOSUCH", b"x"],
        [b"HSCAN", g.key(), b"abc"],
        [b"HSCAN", g.key(), b"0", b"COUNT", b"0"],
        [b"HSCAN", g.key(), b"0", b"TYPE", b"hash"],
    )


def _object(g):
    return g.pick(
        [b"OBJECT", b"ENCODING", g.key()], [b"OBJECT", b"REFCOUNT", g.key()], [b"OBJECT", b"IDLETIME", g.key()],
        [b"OBJECT", b"FREQ", g.key()], [b"OBJECT", b"NOSUCH", g.key()], [b"OBJECT"], [b"OBJECT", b"HELP"],
        [b"OBJECT", b"ENCODING"],
    )  # fmt: skip


def _client(g):
    return [b"CLIENT", *g.pick(
        [b"ID"], [b"GETNAME"], [b"SETNAME", g.pick(b"worker", b"", b"two words", b"\n", b"n\xc3\xa9")], [b"INFO"], [b"LIST"],
        [b"LIST", b"TYPE", g.pick(b"normal", b"replica", b"pubsub", b"nosuch")], [b"LIST", b"ID", g.pick(b"999999", b"abc")],
        [b"KILL", b"1.2.3.4:5"], [b"KILL", b"ID", g.pick(b"999999", b"abc", b"0", b"-1")], [b"KILL", b"TYPE", b"nosuch"],
        [b"KILL", b"ADDR", b"1.2.3.4:5", b"SKIPME", g.pick(b"yes", b"maybe")], [b"NO-EVICT", g.pick(b"ON", b"off", b"maybe")],
        [b"REPLY", g.pick(b"ON", b"nosuch")], [b"NOSUCH"], [b"HELP"], [b"KILL", b"LADDR", b"1.2.3.4:5"],
        [b"KILL", b"USER", g.pick(b"default", b"nosuch"), b"ID", b"999999"], [b"TRACKINGINFO"], [b"GETREDIR"],
        [b"TRACKING", g.pick(b"OFF", b"maybe"), *g.maybe(g.pick(b"BCAST", b"PREFIX", b"NOSUCH"))], [b"CACHING", g.pick(b"YES", b"no", b"maybe")],
        [b"UNBLOCK", g.pick(b"999999", b"abc"), *g.maybe(g.pick(b"ERROR", b"timeout", b"maybe"))],
        [b"PAUSE", g.pick(b"0", b"-1", b"abc"), *g.maybe(g.pick(b"ALL", b"WRITE", b"maybe"))], [b"UNPAUSE"],
    )]  # fmt: skip


def _server(g):
    return g.pick(
        [b"PING"], [b"PING", g.value()], [b"ECHO", g.value()], [b"TIME"], [b"DBSIZE"], [b"INFO"],
        [b"INFO", g.pick(b"server", b"replication", b"keyspace", b"nosuch", b"everything")], [b"INFO", b"server", b"memory"],
        [b"SELECT", g.pick(b"0", b"0", b"1", b"2", b"15", b"16", b"-1", b"abc", b"9999999999999")],
        [b"SWAPDB", g.pick(b"0", b"1", b"15"), g.pick(b"0", b"2", b"16", b"abc", b"-1")],
        [b"HELLO", *g.pick([], [b"2"], [b"3"], [b"4"], [b"1"], [b"abc"], [b"3", b"SETNAME", b"me"], [b"3", b"SETNAME", b"a b"],
                           [b"3", b"SETNAME"], [b"2", b"NOSUCH"], [b"3", b"AUTH", b"nosuch", b"x"], [b"3", b"AUTH", b"default"])],
        [b"AUTH", *g.pick([b"secret"], [b"default", b"secret"], [b"nosuch", b"secret"], [], [b"a", b"b", b"c"])],
        [b"RESET"], [b"QUIT"],
        [b"CONFIG", b"GET", g.pick(b"databases", b"timeout", b"replica-read-only", b"slave-read-only", b"nosuch")],
        [b"CONFIG", b"GET", b"databases", b"slave-read-only"],
        [b"CONFIG", *g.pick([b"SET", b"nosuch", b"1"], [b"SET", b"timeout"], [b"RESETSTAT"], [b"NOSUCH"], [b"GET"],
                            [b"SET", b"timeout", g.pick(b"0", b"abc", b"-1")], [b"SET", b"databases", b"3"],
                            [b"SET", b"timeout", b"0", b"maxclients", b"10000"], [b"SET", b"timeout", b"0", b"TIMEOUT", b"0"])],
        [b"WAIT", g.pick(b"0", b"abc", b"-1"), g.pick(b"0", b"-1", b"abc")],
        [b"READONLY"], [b"READWRITE"], [b"ASKING"], [b"CLUSTER", g.pick(b"INFO", b"SLOTS", b"NODES")],
        [b"COMMAND", *g.pick([b"COUNT"], [b"INFO", *g.some(lambda: g.pick(b"get", b"SET", b"hset", b"nosuch", b"client", b"mset"))],
                             [b"DOCS", b"get"], [b"GETKEYS", b"SET", b"k", b"v"], [b"GETKEYS", b"MSET", b"a", b"1", b"b", b"2"],
                             [b"GETKEYS", b"PING"], [b"GETKEYS", b"nosuch"], [b"GETKEYS", b"GET"], [b"GETKEYS"], [b"NOSUCH"], [b"LIST"],
                             [b"GETKEYS", b"LCS", b"a", b"b", b"IDX"], [b"GETKEYS", b"COPY", b"a", b"b", b"DB", b"1"], [b"GETKEYS", b"PING", b"x"],
                             [b"GETKEYSANDFLAGS", g.pick(b"SET", b"HSET"), b"k", b"v", *g.maybe(b"GET")], [b"LIST", b"FILTERBY", b"MODULE", b"x"],
                             [b"LIST", b"FILTERBY", g.pick(b"NOSUCH", b"PATTERN")])],
        [b"MEMORY", *g.pick([b"USAGE", g.key()], [b"USAGE", g.key(), b"SAMPLES", g.pick(b"0", b"5", b"-1", b"abc")], [b"NOSUCH"], [b"USAGE"])],
        [b"SLOWLOG", *g.pick([b"GET"], [b"GET", g.pick(b"5", b"-1", b"-2", b"abc")], [b"LEN"], [b"RESET"], [b"NOSUCH"])],
        [b"LATENCY", *g.pick([b"LATEST"], [b"HISTORY", b"command"], [b"RESET"], [b"NOSUCH"], [b"HISTORY"],
                             [b"HISTOGRAM", b"nosuch"], [b"GRAPH", b"command"])],
        [g.pick(b"NOSUCH", b"GETT", b"FOO BAR", b"", b"G\r\nET"), *g.some(g.value)],
    )  # fmt: skip


def _flush(g):
    if g.random.random() < 0.7:
        return [b"DBSIZE"]
    return [g.pick(b"FLUSHDB", b"FLUSHALL"), *g.pick([], [b"ASYNC"], [b"SYNC"], [b"NOSUCH"], [b"SYNC", b"ASYNC"])]


def _set_if_equal(g):
    options = [[b"IFEQ", g.likely()], g.maybe(b"GET"), g.maybe(g.pick(b"NX", b"XX", b"IFEQ"), chance=0.1)]
    unit = g.pick(b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL", None)
    if unit is not None:
        options.append([unit] if unit == b"KEEPTTL" else [unit, g.lifetime(unit)])
    g.random.shuffle(options)
    return [b"SET", g.key(), g.likely(), *(word for option in options for word in option)]


def _newer_client(g):
    return [b"CLIENT", *g.pick(
        [b"NO-TOUCH", g.pick(b"ON", b"off", b"maybe")],
        [b"SETINFO", g.pick(b"LIB-NAME", b"lib-ver", b"Lib-Name", b"NOSUCH"), g.pick(b"x", b"a b", b"", b"\n", b"redis-py(up_v1)", b"n\xc3\xa9")],
        [b"KILL", b"MAXAGE", g.pick(b"0", b"-1", b"abc", b"100000")],
    )]  # fmt: skip


def _waitaof(g):
    # Of its own log a server without one says so, and Tenure has one.
    return [b"WAITAOF", g.pick(b"0", b"0", b"2", b"-1", b"abc"), g.pick(b"0", b"0", b"-1", b"abc"), g.pick(b"0", b"1", b"-1", b"abc")]


STRINGS = [
    _set, _set, _set, _getex,
    lambda g: [b"GET", g.key()], lambda g: [b"GET", g.key()],
    lambda g: [b"APPEND", g.key(), g.value()],
    lambda g: [g.pick(b"INCR", b"DECR"), g.key()],
    lambda g: [g.pick(b"INCRBY", b"DECRBY"), g.key(), g.integer()],
    lambda g: [b"INCRBYFLOAT", g.key(), g.float()],
    lambda g: [b"GETDEL", g.key()],
    lambda g: [b"GETRANGE", g.key(), g.index(), g.index()],
    lambda g: [b"SUBSTR", g.key(), g.index(), g.index()],
    lambda g: [b"GETSET", g.key(), g.value()],
    _lcs,
    lambda g: [b"MGET", *g.some(g.key)],
    lambda g: [g.pick(b"MSET", b"MSETNX"), *g.pairs(g.key, g.value)],
    lambda g: [b"SETEX", g.key(), g.lifetime(b"EX"), g.value()],
    lambda g: [b"PSETEX", g.key(), g.lifetime(b"PX"), g.value()],
    lambda g: [b"SETNX", g.key(), g.value()],
    _setrange,
    lambda g: [b"STRLEN", g.key()],
]  # fmt: skip

HASHES = [
    lambda g: [b"HSET", _hash_key(g), *g.pairs(g.field, g.value)],
    _hset_many,
    lambda g: [b"HMSET", _hash_key(g), *g.pairs(g.field, g.value)],
    lambda g: [b"HSETNX", _hash_key(g), g.field(), g.value()],
    lambda g: [b"HGET", _hash_key(g), g.field()],
    lambda g: [b"HMGET", _hash_key(g), *g.some(g.field)],
    lambda g: [g.pick(b"HGETALL", b"HKEYS", b"HVALS", b"HLEN"), _hash_key(g)],
    lambda g: [b"HDEL", _hash_key(g), *g.some(g.field)],
    lambda g: [g.pick(b"HEXISTS", b"HSTRLEN"), _hash_key(g), g.field()],
    lambda g: [b"HINCRBY", _hash_key(g), g.pick(b"n", g.field()), g.integer()],
    lambda g: [b"HINCRBYFLOAT", _hash_key(g), g.pick(b"n", g.field()), g.float()],
    _hrandfield,
]

EVERY_KEY = [
    lambda g: [g.pick(b"DEL", b"UNLINK", b"EXISTS", b"TOUCH"), *g.some(g.key, most=3)],
    lambda g: [b"TYPE", g.key()],
    _copy, _move,
    lambda g: [g.pick(b"RENAME", b"RENAMENX"), g.key(), g.key()],
    lambda g: [b"RANDOMKEY"],
    lambda g: [b"KEYS", g.random.choice(PATTERNS)],
    _scan_error, _object, _expire, _expire,
    lambda g: [g.pick(b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"), g.key()],
    lambda g: [g.pick(b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"), g.key()],
    lambda g: [b"PERSIST", g.key()],
]  # fmt: skip

SERVER = [_server, _server, _client, _flush]

# Each family about as often as its size; flushing seldom enough that keys live to be used.
MAKERS = STRINGS + HASHES + EVERY_KEY + SERVER

# What came after Redis 7.0, and what else it takes to have something to compare.
NEWER = [
    _set_if_equal, _set_if_equal, _set_if_equal, _newer_client, _waitaof,
    lambda g: [b"DELIFEQ", g.key(), g.likely()], lambda g: [b"DELIFEQ", g.key(), g.likely()],
    lambda g: [b"SET", g.key(), g.likely(), *g.maybe(b"PX", b"100000000")], lambda g: [b"SET", g.key(), g.likely()],
    lambda g: [b"HSET", g.key(), g.field(), g.value()], lambda g: [b"GET", g.key()], lambda g: [b"DEL", g.key()],
]  # fmt: skip
