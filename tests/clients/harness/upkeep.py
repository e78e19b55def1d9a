"""A cluster that is looked after while clients use it: nodes are stopped, started again and drained when a suite asks.

Three nodes, each with an address of its own (127.0.0.1, .2, .3) and all with the same ports, as on machines of their own: redis-py
follows `MOVING` to another host, never to another port. Suites in any language ask for work in one line over TCP, at
`TENURE_UPKEEP`: `restart 2`, `stop 2`, `start 2`, `drain 2`, `kill 2`. The answer is one line, when it is done: `ok`, or what went wrong.
"""

import contextlib
import json
import signal
import socketserver
import subprocess
import threading
import time

from .clusters import Processes, until
from .servers import reserve_port

_NODES = 3
# A node that has not ended by then never will.
_END_LIMIT_S = 30.0


class Upkeep(Processes):
    """See the module."""

    kind = "tenure"

    def __init__(self, binary):
        super().__init__()
        self._binary = binary
        self._running = {}
        self._lock = threading.Lock()
        self._server = None

    def _start(self):
        self._ports = {name: reserve_port() for name in ("listen", "forward", "sentinel", "peer", "admin")}
        self._map = f"127.0.0.1:{reserve_port()}"
        file = self.directory / "metadata.redb"
        self._spawn([self._binary, "meta", "--listen", self._map, "--file", file], "meta.log")
        for node in range(1, _NODES + 1):
            self._start_node(node)
            self.nodes.append({"address": self._at(node, "listen"), "forward": self._at(node, "forward")})
            self.sentinels.append(self._at(node, "sentinel"))
        until("the cluster is well", self._is_well)
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __exit__(self, *exception):
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        super().__exit__(*exception)

    def environment(self):
        """As for any cluster, and where work is asked for."""
        host, port = self._server.server_address
        return {**super().environment(), "TENURE_UPKEEP": f"{host}:{port}"}

    def _at(self, node, name):
        return f"127.0.0.{node}:{self._ports[name]}"

    def _start_node(self, node):
        options = [f"--{name}={self._at(node, name)}" for name in self._ports]
        command = [self._binary, "serve", f"--meta=tenure://{self._map}", f"--node={node}", "--memory=256MiB",
                   "--allow-unauthenticated", "true", f"--dir={self.directory / str(node)}", *options]  # fmt: skip
        log = f"{node}-{len(self._processes)}.log"
        self._running[node] = self._spawn(command, log)
        until(f"node {node} is ready", lambda: "tenure ready" in (self.directory / log).read_text(errors="replace"))

    def _end_node(self, node, how):
        process = self._running.pop(node)
        process.send_signal(how)
        process.wait(_END_LIMIT_S)

    def _cluster(self, *words):
        """What `tenure cluster` says, asked of a node that runs; None if it fails."""
        admin = self._at(next(iter(self._running)), "admin")
        command = [self._binary, "cluster", "--admin", admin, *words]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else None

    def _is_well(self):
        """Every shard has all its copies, and every node leads something: the next one may go."""
        if self._cluster("status") is None:
            return False
        shards = json.loads(self._cluster("shards", "--json") or "{}").get("shards", [])
        return len({shard["primary"] for shard in shards}) == len(self._running)

    def _do(self, what, node):
        if what in ("restart", "stop"):
            self._end_node(node, signal.SIGTERM)
        if what == "kill":
            self._end_node(node, signal.SIGKILL)
        if what in ("restart", "start"):
            self._start_node(node)
            until("the cluster is well again", self._is_well)
        if what == "drain" and self._cluster("drain", str(node)) is None:
            raise RuntimeError(f"node {node} cannot be drained")

    def _handler(self):
        upkeep = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    what, node = line.decode().split()
                    began = time.monotonic()
                    try:
                        with upkeep._lock:
                            upkeep._do(what, int(node))
                        answer = f"ok {time.monotonic() - began:.1f}"
                    except Exception as error:  # The suite is told, whatever it was.
                        answer = f"{type(error).__name__}: {error}"
                    with contextlib.suppress(OSError):
                        self.wfile.write(f"{answer}\n".encode())

        return Handler
