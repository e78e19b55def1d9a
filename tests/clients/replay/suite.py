"""Replays written conversations: bytes out exactly as written, replies compared with what is expected.

For clients whose packages cannot be installed here, for middleware whose other half needs commands
that come later, and for what Redis 7.0 does not know and so cannot be compared with. README.md
beside this file describes the notation. Adding a case is adding a few lines to a `.replay` file.
"""

import os
import re
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import tap, wire  # noqa: E402
from harness.notation import matches, split_words  # noqa: E402

HOST, _, _port = os.environ["TENURE_ADDR"].partition(":")
ADDRESS = (HOST, int(_port))
SERVER = os.environ["TENURE_SERVER"]

_LINE = re.compile(r"^(?P<connection>\w*)(?P<action>~?>|<)(?P<only>redis|tenure)? ?(?P<rest>.*)$")
_REPEAT_LIMIT_S = 10.0


class Step:
    """One line of a conversation."""

    def __init__(self, place, connection, action, rest):
        self.place = place
        self.connection = connection
        self.action = action
        self.rest = rest


class Conversation:
    """The connections, and the words captured so far, of one test."""

    def __init__(self):
        self.connections = {}
        self.captured = {}
        self.repeating = {}
        # What one connection is about to send as one write.
        self.pending = (None, b"")

    def run(self, steps):
        try:
            self._connection("").call("FLUSHALL")
            for step in steps:
                self._run_step(step)
            self._flush()
        finally:
            for connection in self.connections.values():
                connection.close()

    def _connection(self, name):
        if name not in self.connections:
            self.connections[name] = wire.Connection(ADDRESS)
        return self.connections[name]

    def _run_step(self, step):
        if step.action == "<":
            self._flush()
            self._expect(step)
            return
        words = [self._substitute(word) for word in split_words(step.rest)]
        self.repeating[step.connection] = words if step.action == "~>" else None
        if self.pending[0] != step.connection:
            self._flush()
        self.pending = (step.connection, self.pending[1] + wire.encode(*words))

    def _flush(self):
        name, data = self.pending
        self.pending = (None, b"")
        if data:
            self._connection(name).send(data)

    def _substitute(self, word):
        if word.startswith(b"$") and len(word) > 1:
            return self.captured[word[1:].decode()]
        return word

    def _expect(self, step):
        connection = self._connection(step.connection)
        words = self.repeating.get(step.connection)
        deadline = time.monotonic() + _REPEAT_LIMIT_S
        while True:
            reply = connection.read()
            problem = matches(step.rest, reply, self.captured)
            if problem is None:
                return
            if words is None or time.monotonic() > deadline:
                raise AssertionError(f"{step.place}: {problem}; the reply was {reply.raw[:400]!r}")
            time.sleep(0.005)
            connection.send(wire.encode(*words))


def parse(path):
    """Yields (title, server or None, steps) for each test of a file."""
    title, only, steps = None, None, []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        line = line.strip()
        if line.startswith("="):
            if title:
                yield title, only, steps
            title, only, steps = line[1:].strip(), None, []
            if title.startswith("["):
                only, _, title = title[1:].partition("] ")
        elif line and not line.startswith("#"):
            _add_step(steps, f"{path.name}:{number}", line)
    if title:
        yield title, only, steps


def _add_step(steps, place, line):
    found = _LINE.match(line)
    if not found:
        raise SyntaxError(f"{place}: {line}")
    if found["only"] and found["only"] != SERVER:
        return
    if found["only"]:
        # It stands for the expectation just above, which is for every other server.
        steps.pop()
    steps.append(Step(place, found["connection"], found["action"], found["rest"]))


def make_test(title, steps):
    def test(self):
        Conversation().run(steps)

    test.__doc__ = title
    return test


class Replay(unittest.TestCase):
    """Filled below: one method for each test of each file."""


def load(paths):
    count = 0
    for path in sorted(paths):
        for title, only, steps in parse(path):
            if only in (None, SERVER):
                count += 1
                setattr(Replay, f"test_{count:04}", make_test(f"{path.stem}: {title}", steps))


if __name__ == "__main__":
    load([Path(name) for name in sys.argv[1:]] or HERE.glob("*.replay"))
    tap.run(Replay)
