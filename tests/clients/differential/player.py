"""Plays steps to two servers and compares what they answer, step by step and then key by key."""

import contextlib
import time

import commands
import compare
import divergence
from harness import wire

DATABASES = 16
_EXPIRED_GONE_S = 3.0


class Difference(Exception):
    """The two servers disagree at this step."""

    def __init__(self, step, problem, replies):
        super().__init__(problem)
        self.step = step
        self.problem = problem
        self.replies = replies


class Side:
    """One server, with its connections; a closed one is opened again."""

    def __init__(self, address):
        self.address = address
        self.connections = {}

    def connection(self, number):
        if number not in self.connections:
            connection = wire.Connection(self.address)
            self.connections[number] = connection
            if number == 1:
                connection.call("HELLO", 3)
        return self.connections[number]

    def send(self, number, data):
        self.connection(number).send(data)

    def read(self, number):
        """The reply, or how the connection ended."""
        try:
            return self.connection(number).read()
        except wire.Closed as closed:
            self.drop(number)
            return wire.Reply(b"(closed)", b"-", str(closed).encode())

    def call(self, number, words):
        self.send(number, wire.encode(*words))
        return self.read(number)

    def drop(self, number):
        connection = self.connections.pop(number, None)
        if connection:
            connection.close()

    def close(self):
        for number in list(self.connections):
            self.drop(number)


class Player:
    """Both servers; plays sequences from an empty store."""

    def __init__(self, reference, subject):
        self.addresses = (reference, subject)
        self.played = 0

    def play(self, steps, depth=1):
        """Raises `Difference` at the first disagreement; `depth` commands go out in one write."""
        with contextlib.ExitStack() as stack:
            sides = [Side(address) for address in self.addresses]
            for side in sides:
                stack.callback(side.close)
                side.call("empty", (b"FLUSHALL",))
            for batch in _batches(steps, depth):
                self._play_batch(sides, batch)
            self._compare_stores(sides)

    def _play_batch(self, sides, batch):
        self.played += len(batch)
        first = batch[0]
        if isinstance(first, commands.Walk):
            self._play_walk(sides, first)
        elif isinstance(first, commands.Brief):
            self._play_brief(sides, first)
        elif isinstance(first, commands.Float):
            self._play_float(sides, first)
        else:
            self._play_calls(sides, batch)

    def _play_calls(self, sides, batch):
        data = b"".join(wire.encode(*step.words) for step in batch)
        for side in sides:
            side.send(batch[0].connection, data)
        for step in batch:
            _check(step, step.words, [side.read(step.connection) for side in sides])
            if step.words[0].upper() == b"QUIT":
                for side in sides:
                    side.drop(step.connection)

    def _play_brief(self, sides, step):
        _check(step, step.words, [side.call(step.connection, step.words) for side in sides])
        time.sleep(step.pause_s)
        _check(step, (b"EXISTS", step.key), [side.call(step.connection, (b"EXISTS", step.key)) for side in sides])

    def _play_float(self, sides, step):
        replies = [side.call(step.connection, step.words) for side in sides]
        if replies[0].raw == replies[1].raw:
            return
        if not self._excused_float(sides, step, replies):
            raise Difference(step, "different numbers", replies)
        for side in sides:
            side.call(step.connection, (b"DEL", step.words[1]))

    def _excused_float(self, sides, step, replies):
        """Whether both are right, or the subject refuses what it should and has changed nothing."""
        if not replies[1].is_error:
            return not replies[0].is_error and compare.nearly_equal(*replies)
        look = (b"GET", step.words[1]) if step.words[0].upper() == b"INCRBYFLOAT" else (b"HGET", *step.words[1:3])
        value = sides[1].call(step.connection, look)
        return not value.is_error and divergence.is_no_float_here(value.body, replies[0].body)

    def _play_walk(self, sides, step):
        walks = [_walk(side, step) for side in sides]
        if isinstance(walks[0], wire.Reply) or isinstance(walks[1], wire.Reply):
            replies = [walk if isinstance(walk, wire.Reply) else wire.Reply(b"(walked)", b"*", b"") for walk in walks]
            return _check(step, step.words, replies)
        problem = compare.walked(*walks)
        if problem:
            raise Difference(step, problem, walks)

    def _compare_stores(self, sides):
        """Every database, key by key: type, value, lifetime."""
        for database in range(DATABASES):
            step = commands.Call(0, (b"SELECT", b"%d" % database))
            self._compare_one(sides, step)
            replies = [side.call("stores", (b"KEYS", b"*")) for side in sides]
            _check(step, (b"KEYS", b"*"), replies)
            keys = [sorted(item.body for item in reply.items or []) for reply in replies]
            if keys[0] != keys[1]:
                raise Difference(step, f"different keys in database {database}", keys)
            _check_counts(step, sides, len(keys[0]))
            for key in keys[0]:
                for words in ((b"TYPE", key), (b"PTTL", key), (b"GET", key), (b"HGETALL", key)):
                    self._compare_one(sides, commands.Call(0, words))

    def _compare_one(self, sides, step):
        _check(step, step.words, [side.call("stores", step.words) for side in sides])


def _check(step, words, replies):
    problem = compare.differ(words, *replies)
    if problem:
        raise Difference(step, problem, replies)


def _check_counts(step, sides, wanted):
    """DBSIZE must come down to what is left, as soon as expired keys are really gone."""
    deadline = time.monotonic() + _EXPIRED_GONE_S
    while True:
        counts = [side.call("stores", (b"DBSIZE",)) for side in sides]
        if all(count.raw == b":%d\r\n" % wanted for count in counts):
            return
        if time.monotonic() > deadline:
            raise Difference(step, f"DBSIZE is not {wanted}", counts)
        time.sleep(0.01)


def _walk(side, step):
    """All items of a scan; the reply itself when it is an error. Ends after many pages, found or not."""
    words, seen = list(step.words), []
    for _ in range(20_000):
        reply = side.call(step.connection, words)
        if reply.is_error or not reply.items:
            return reply
        seen += _items(words, reply.items[1])
        words[step.cursor_at] = reply.items[0].body
        if reply.items[0].body == b"0":
            return seen
    raise Difference(step, "the walk does not end", [side.address, words])


def _items(words, page):
    if words[0].upper() == b"HSCAN":
        return compare.pairs(page)
    return [item.raw for item in page.items]


def _batches(steps, depth):
    """Runs of plain calls on one connection, no longer than `depth`; compounds stand alone."""
    batch = []
    for step in steps:
        plain = isinstance(step, commands.Call)
        if batch and not (plain and step.connection == batch[0].connection and len(batch) < depth):
            yield batch
            batch = []
        batch.append(step)
        if not plain or step.words[0].upper() == b"QUIT":
            yield batch
            batch = []
    if batch:
        yield batch
