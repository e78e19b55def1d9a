"""Servers to test: started on a port of the system's choice with a folder of their own, and stopped."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from . import wire

KINDS = ("tenure", "redis")
_READY_LIMIT_S = 60.0
_STOP_LIMIT_S = 20.0

# The guards that the demonstrations and their tests turn on (README of this folder).
GUARDS = """
[[guard]]
prefix = "sess:"
no-resurrection = "30s"

[[guard]]
prefix = "PHPREDIS_SESSION:"
lock-suffix = "_LOCK"
"""


class CannotStart(Exception):
    """The server exited or never became ready; the message ends with what it printed."""


def stop_all_when_told_to_end():
    """From now on a signal that ends this program ends it like an exception, so that all that it has started is stopped."""

    def leave(number, _frame):
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def reserve_port():
    """A port for a server, which nobody else gets meanwhile: its TIME-WAIT keeps it from all who ask for any (see `crates/ports`)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            listener.accept()[0].close()
            client.recv(1)
    return port


class Server:
    """A running server; use `with start(...) as server`."""

    def __init__(self, kind, binary, guarded=False):
        self.kind = kind
        self._binary = binary
        self._guarded = guarded
        self.directory = Path(tempfile.mkdtemp(prefix=f"clients-{kind}-"))
        self._process = None
        self.port = 0
        self.admin_port = 0

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception):
        try:
            self._stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def log(self):
        """What the server printed so far."""
        return (self.directory / "log").read_text(errors="replace")

    def environment(self):
        """What a suite is told about this server."""
        return {"TENURE_ADDR": f"127.0.0.1:{self.port}", "TENURE_SERVER": self.kind}

    def _start(self):
        self.port, self.admin_port = reserve_port(), reserve_port()
        self._spawn()
        if not self._wait_until_ready():
            raise CannotStart(f"{self._binary} does not become ready:\n{self.log()[-4000:]}")

    def _spawn(self):
        # Tenure reads TENURE_* as its configuration; what the suites are told that way is not for it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TENURE_")}
        with open(self.directory / "log", "wb") as log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.directory, env=environment,
            )  # fmt: skip

    def _command(self):
        if self.kind in ("redis", "valkey"):
            return [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                    "--dir", str(self.directory), "--databases", "16"]  # fmt: skip
        command = [self._binary, "serve", "--listen", f"127.0.0.1:{self.port}",
                   "--admin", f"127.0.0.1:{self.admin_port}", "--dir", str(self.directory / "data"),
                   "--memory", "256MB", "--sync", "everysec"]  # fmt: skip
        if self._guarded:
            (self.directory / "tenure.toml").write_text(GUARDS)
            command += ["--config", str(self.directory / "tenure.toml")]
        return command

    def _wait_until_ready(self):
        deadline = time.monotonic() + _READY_LIMIT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if self._answers_ping() and self._says_ready():
                return True
            time.sleep(0.02)
        return False

    def _answers_ping(self):
        try:
            connection = wire.Connection(self.address, timeout_s=1.0)
        except OSError:
            return False
        with contextlib.closing(connection):
            try:
                return connection.call("PING").raw == b"+PONG\r\n"
            except (wire.Closed, wire.Silent):
                return False

    def _says_ready(self):
        if self.kind != "tenure":
            return True
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=1) as reply:
                return reply.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def _stop(self):
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


def start(kind, binary=None, guarded=False):
    """A server of this kind; Valkey is `binary`, and so is Tenure, or what the environment's TENURE_BIN says."""
    if kind == "redis":
        return Server(kind, "redis-server")
    if kind == "valkey":
        return Server(kind, str(binary))
    binary = binary or os.environ.get("TENURE_BIN")
    if not binary:
        raise CannotStart("set TENURE_BIN, or let the runner build Tenure")
    return Server(kind, str(Path(binary).resolve()), guarded)
