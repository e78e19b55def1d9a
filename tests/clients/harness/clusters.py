"""Clusters to test: three nodes on ports of the system's choice, with what clients without a cluster need, and stopped."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from . import wire
from .servers import CannotStart, reserve_port

_READY_LIMIT_S = 60.0
_STOP_LIMIT_S = 30.0
_MASTER = "mymaster"
_SLOTS = 16_384
# How many `tenure dev` makes.
_DEV_SHARDS = 16
# How long a node of Redis may be silent.
_NODE_TIMEOUT_MS = 1_000


def _call(port, *words):
    """The reply of the server on this port, or None if there is none."""
    try:
        with contextlib.closing(wire.Connection(("127.0.0.1", port), timeout_s=2.0)) as connection:
            return connection.call(*words).raw
    except (OSError, wire.Closed, wire.Silent):
        return None


def until(what, condition):
    """Waits until this is so, as long as a cluster may take."""
    deadline = time.monotonic() + _READY_LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise CannotStart(f"{what} does not become true")
        time.sleep(0.02)


class Processes:
    """Processes and a folder; use `with` a subclass, which starts them in `_start`."""

    kind = "redis"

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="clients-cluster-"))
        self._processes = []
        self.nodes = []
        self.sentinels = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception):
        try:
            for process in self._processes:
                # What a suite has paused must be able to end.
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.terminate()
            for process in self._processes:
                process.wait(_STOP_LIMIT_S)
        finally:
            for process in self._processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _spawn(self, command, log):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TENURE_")}
        with open(self.directory / log, "wb") as file:
            process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                cwd=self.directory, env=environment,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def log(self):
        """What the processes printed so far."""
        return "\n".join(path.read_text(errors="replace")[-1000:] for path in sorted(self.directory.rglob("*log")))

    def environment(self):
        """What a suite is told: where nodes and Sentinels are, and which process serves which address, for suites that kill one."""
        first = self.nodes[0]["address"]
        return {
            "TENURE_ADDR": first,
            "TENURE_SERVER": self.kind,
            "TENURE_NODES": json.dumps(self.nodes),
            "TENURE_SENTINELS": ",".join(self.sentinels),
            "TENURE_MASTER": _MASTER,
        }


class TenureCluster(Processes):
    """Three nodes of `tenure dev`. Clients without a cluster, and those with Sentinels, get forwarding ports."""

    kind = "tenure"

    def __init__(self, binary, is_forwarding):
        super().__init__()
        self._binary = binary
        self._is_forwarding = is_forwarding

    def _start(self):
        state = self.directory / "dev"
        self._spawn([self._binary, "dev", "--port", "0", "--dir", state, "--memory", "256MiB"], "log")
        ready = lambda: "ready:" in (self.directory / "log").read_text(errors="replace")  # noqa: E731
        until("`tenure dev` serves", ready)
        nodes = json.loads((state / "dev.json").read_text())["nodes"]
        for node in nodes:
            address = node["forward"] if self._is_forwarding else node["address"]
            self.nodes.append({"address": address, "pid": node["pid"]})
            self.sentinels.append(node["sentinel"])
        # The first nodes to come lead more at first. A suite must not begin while that is put right: it would see `MOVED`, which
        # Jedis' pipelines do not follow, and keys that move while nodes are scanned one by one.
        until("the nodes lead alike", lambda: all(self._is_even(node["address"], len(nodes)) for node in nodes))

    @staticmethod
    def _is_even(address, nodes):
        """No node leads two shards more than another, as this one says."""
        with contextlib.closing(wire.Connection(("127.0.0.1", int(address.rpartition(":")[2])))) as connection:
            reply = connection.call("CLUSTER", "SLOTS")
        led = {}
        for first, last, primary, *_ in (part.items for part in reply.items):
            port = primary.items[1].text()
            led[port] = led.get(port, 0) + int(last.text()) - int(first.text()) + 1
        return len(led) == nodes and max(led.values()) - min(led.values()) <= _SLOTS // _DEV_SHARDS


class RedisCluster(Processes):
    """Three primaries of Redis Cluster with a replica each."""

    def _start(self):
        ports = [reserve_port() for _ in range(6)]
        for port in ports:
            folder = self.directory / str(port)
            folder.mkdir()
            process = self._spawn(
                ["redis-server", "--port", port, "--cluster-port", reserve_port(), "--bind", "127.0.0.1", "--save", "",
                 "--cluster-enabled", "yes", "--cluster-node-timeout", _NODE_TIMEOUT_MS, "--dir", folder,
                 "--repl-diskless-sync-delay", "0"],
                f"{port}.log",
            )  # fmt: skip
            self.nodes.append({"address": f"127.0.0.1:{port}", "pid": process.pid})
        until("redis-server answers", lambda: all(_call(port, "PING") == b"+PONG\r\n" for port in ports))
        # `redis-cli --cluster create` of Redis 7.0 knows no ports of the bus but the usual ones.
        first, bus = ports[0], self._bus(ports[0])
        for index, (low, high) in enumerate([(0, 5460), (5461, 10922), (10923, 16383)]):
            _call(ports[index], "CLUSTER", "ADDSLOTSRANGE", str(low), str(high))
            _call(ports[index], "CLUSTER", "SET-CONFIG-EPOCH", str(index + 1))
        for port in ports[1:]:
            _call(port, "CLUSTER", "MEET", "127.0.0.1", str(first), str(bus))
        for primary, replica in zip(ports[:3], ports[3:]):
            name = _call(primary, "CLUSTER", "MYID").split(b"\r\n")[1].decode()
            until("a replica is one", lambda: _call(replica, "CLUSTER", "REPLICATE", name) == b"+OK\r\n")  # noqa: B023
        until("all nodes agree", lambda: all(self._agrees(port) for port in ports))

    def _bus(self, port):
        text = _call(port, "CONFIG", "GET", "cluster-port").split(b"\r\n")
        return int(text[4])

    @staticmethod
    def _agrees(port):
        info, slots = _call(port, "CLUSTER", "INFO"), _call(port, "CLUSTER", "SLOTS")
        link = _call(port, "INFO", "replication") or b""
        whole = info and b"cluster_state:ok" in info and slots and slots.count(b"127.0.0.1") == 6
        return whole and b"master_link_status:down" not in link


class RedisSentinel(Processes):
    """A master with two replicas, and three Sentinels."""

    def _start(self):
        master = reserve_port()
        for index in range(3):
            port = reserve_port() if index else master
            (self.directory / str(port)).mkdir()
            more = ["--replicaof", f"127.0.0.1 {master}"] if index else []
            command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                       "--dir", self.directory / str(port), "--repl-diskless-sync-delay", "0", *more]  # fmt: skip
            process = self._spawn(command, f"{port}.log")
            self.nodes.append({"address": f"127.0.0.1:{port}", "pid": process.pid})
        until("the replicas are there", lambda: b"connected_slaves:2" in (_call(master, "INFO", "replication") or b""))
        for _ in range(3):
            port = reserve_port()
            file = self.directory / f"{port}.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\nsentinel monitor {_MASTER} 127.0.0.1 {master} 2\n"
                f"sentinel down-after-milliseconds {_MASTER} 500\nsentinel failover-timeout {_MASTER} 2000\n"
            )
            self._spawn(["redis-server", file, "--sentinel"], f"{port}.log")
            self.sentinels.append(f"127.0.0.1:{port}")
        knows_all = lambda at: b"slaves=2,sentinels=3" in (_call(int(at.split(":")[1]), "INFO", "sentinel") or b"")  # noqa: E731
        until("the Sentinels know each other", lambda: all(map(knows_all, self.sentinels)))


def start(kind, binary, topology):
    """A cluster of this kind of server. `topology`: "cluster" for clients that know one, "sentinel" for clients with Sentinels."""
    if kind == "redis":
        return RedisCluster() if topology == "cluster" else RedisSentinel()
    return TenureCluster(Path(binary).resolve(), topology != "cluster")
