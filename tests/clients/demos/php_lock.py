"""PHP sessions locked by phpredis: a slow holder writes after its lock has passed on.

phpredis takes a lock with `SET <key>_LOCK <secret> NX PX <ms>`, reads the session, and writes it back
with SETEX after it has looked whether the lock is still its own: between the look and the write the
lock may expire. Redis accepts the late write, and the second holder's update is lost. Tenure's guard
`lock-suffix` makes the lock a hold on the session, and refuses. The commands are phpredis's own; its
unlock script is replaced by a read and a delete of the lock.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import wire  # noqa: E402

HOST, _, PORT = os.environ["TENURE_ADDR"].partition(":")
IS_TENURE = os.environ["TENURE_SERVER"] == "tenure"
LOCK_MS = 150
LIFETIME_S = 1440

results = []


def say(line):
    print(f"| {line}", flush=True)


def seen(what, was_seen):
    results.append(was_seen)
    print(f"{'ok' if was_seen else 'not ok'} {len(results)} - {what}", flush=True)


class Worker:
    """One PHP process: one connection, one secret, and phpredis's commands in its order."""

    def __init__(self, name, session):
        self.name = name
        self.key = f"PHPREDIS_SESSION:{session}"
        self.lock = f"{self.key}_LOCK"
        self.secret = f"{name}|1"
        self.connection = wire.Connection((HOST, int(PORT)))

    def take_lock(self, lock_ms):
        """Tries once; phpredis polls."""
        return self._call("SET", self.lock, self.secret, "NX", "PX", lock_ms).raw == b"+OK\r\n"

    def wait_for_lock(self, lock_ms):
        deadline = time.monotonic() + 10
        while not self.take_lock(lock_ms):
            assert time.monotonic() < deadline, "the lock is never free"
            time.sleep(0.02)
        say(f"{self.name} has the lock")

    def still_mine(self):
        return self._call("GET", self.lock).text() == self.secret

    def read(self):
        return self._call("GET", self.key).text()

    def write(self, value):
        reply = self._call("SETEX", self.key, LIFETIME_S, value)
        outcome = f"refused: {reply.text()}" if reply.is_error else "accepted"
        say(f"{self.name} writes {value!r}: {outcome}")
        return not reply.is_error

    def unlock(self):
        if self.still_mine():
            self._call("DEL", self.lock)
        say(f"{self.name} unlocks")

    def _call(self, *words):
        return self.connection.call(*words)


def in_turn():
    """Two requests whose locks last long enough: nothing is lost on either server."""
    first, second = Worker("A", "calm"), Worker("B", "calm")
    first.wait_for_lock(60_000)
    busy = not second.take_lock(60_000)
    written = first.write("cart=tea")
    first.unlock()
    second.wait_for_lock(60_000)
    found = second.read()
    written = second.write(found + ",cup") and written
    second.unlock()
    seen("two requests in turn both keep their update", busy and written and second.read() == "cart=tea,cup")


def overtaken(session, second_unlocks):
    """A's lock expires while it works; B takes over and writes; then A writes what it had read."""
    slow, quick = Worker("A", session), Worker("B", session)
    slow.wait_for_lock(LOCK_MS)
    before = slow.read()
    say(f"A looks at its lock: {'its own' if slow.still_mine() else 'lost'}; A goes on, slowly")
    quick.wait_for_lock(60_000)
    quick.write("cart=cup")
    if second_unlocks:
        quick.unlock()
    accepted = slow.write(before + "cart=tea")
    left = quick.read()
    say(f"the session holds {left!r}")
    moment = "after B has unlocked" if second_unlocks else "while B holds the lock"
    if IS_TENURE:
        seen(f"A's late write {moment} is refused and B's update stays", not accepted and left == "cart=cup")
    else:
        seen(f"on Redis A's late write {moment} erases B's update", accepted and left == "cart=tea")


def main():
    say("Locks that last:")
    in_turn()
    say("A lock that expires, the second holder at work:")
    overtaken("overtaken", second_unlocks=False)
    say("A lock that expires, the second holder done:")
    overtaken("overtaken-and-done", second_unlocks=True)
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
