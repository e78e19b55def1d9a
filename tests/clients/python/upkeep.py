"""Asking for work on the cluster under test, and judging what clients noticed of it."""

import os
import socket
import threading
import time

_HOST, _, _PORT = os.environ["TENURE_UPKEEP"].partition(":")


def ask(line):
    """Has one piece of work done (`restart 2`), and waits for it."""
    with socket.create_connection((_HOST, int(_PORT)), timeout=120) as connection:
        connection.sendall(f"{line}\n".encode())
        answer = connection.makefile().readline().strip()
    if not answer.startswith("ok"):
        raise RuntimeError(f"{line}: {answer or 'no answer'}")


class Load:
    """Threads that write and read without pause; every error that the library lets through is kept."""

    def __init__(self, client, name, threads=4):
        self.errors = []
        self.longest = (0.0, "")
        self.requests = 0
        self._began = time.monotonic()
        self._client = client
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(f"{name}:{n}",)) for n in range(threads)]
        self._lock = threading.Lock()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        while self.requests < 1_000:
            time.sleep(0.01)
        return self

    def __exit__(self, *_exception):
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _run(self, name):
        for number in range(1 << 60):
            if self._ends.is_set():
                return
            key, value = f"{name}:{number % 500}", b"%d" % number
            # What a write that failed has left is not known.
            if self._timed("SET", key, lambda: self._client.set(key, value), True):  # noqa: B023
                self._timed("GET", key, lambda: self._client.get(key), value)  # noqa: B023

    def _timed(self, what, key, work, expected):
        began = time.monotonic()
        try:
            answer = work()
            wrong = None if answer == expected else f"{answer!r} instead of {expected!r}"
        except Exception as error:  # That there is none is what is tested.
            wrong = f"{type(error).__name__}: {error}"
        ended = time.monotonic()
        with self._lock:
            self.requests += 1
            self.longest = max(self.longest, (ended - began, f"{what} {key} after {began - self._began:.1f} s"))
            if wrong:
                self.errors.append(f"{what} {key} after {began - self._began:.1f} s, {ended - began:.3f} s long: {wrong}")
        return not wrong

    def report(self, what):
        """One line for people; `| ` lines are shown by the runner."""
        seconds, which = self.longest
        print(f"| {what}: {self.requests} requests, {len(self.errors)} errors, longest {seconds * 1000:.0f} ms ({which})", flush=True)
