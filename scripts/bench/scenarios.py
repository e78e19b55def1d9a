"""What is compared: each scenario is one server, one load, some figures, and the goals they are held to."""

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Callable

from .servers import Trouble, ask

# What an entry may cost beyond its key and value, for the arithmetic of the utilisation scenario.
ENTRY_OVERHEAD = 44
KEY_BYTES = 37
# How long after a fill its memory is looked at once more.
REST_S = 5


@dataclass(frozen=True)
class Scale:
    """How large and how long: the real comparison, or a quick look whether everything runs."""

    seconds: float
    warmup: float
    keys: int
    sessions: int
    live: str
    wave: int
    waiters: int
    held: int
    limit_mib: int


FULL = Scale(5, 1, 100_000, 1_000_000, "200mb", 1_000_000, 1_000, 100_000, 2_048)
QUICK = Scale(0.5, 0.2, 5_000, 20_000, "8mb", 20_000, 50, 2_000, 256)


@dataclass(frozen=True)
class Goal:
    """A bound on a figure of Tenure's (`kind` "value") or on its ratio to the peer's ("ratio"), which holds against one peer."""

    figure: str
    kind: str
    sign: str
    bound: float
    peer: str = "redis"

    def holds(self, peer):
        """Whether it is a goal where this is the peer's name and version."""
        return self.kind == "value" or peer.split()[0] == self.peer

    def met(self, value):
        """Whether the value keeps the bound; unknown without a value."""
        if value is None:
            return None
        return value <= self.bound if self.sign == "<=" else value >= self.bound


@dataclass(frozen=True)
class Scenario:
    """One comparison. `run(bench, server)` answers figures by name."""

    name: str
    about: str
    run: Callable
    goals: tuple = ()
    sync: str = "off"
    memory: str = "1GiB"
    rounds: int = 5
    pinned: bool = True
    tenure_only: bool = False
    # Figures in the order of the table; the others are only in the JSON.
    shown: tuple = field(default=("requests/s", "p50 us", "p99 us", "CPU ns/request"))


class Bench:
    """What a scenario has at hand: the generator and the scale."""

    def __init__(self, generator, scale):
        self.generator, self.scale = generator, scale

    def load(self, server, workload, *options, timeout=600):
        """Runs one load; `options` are further options of the generator."""
        return self.generator.run(server, ["--workload", workload, *options], timeout)

    def timed(self):
        """The options of a load that is measured for a time."""
        return ["--seconds", self.scale.seconds, "--warmup", self.scale.warmup]


def figures_of(load):
    """The table's figures of a plain load."""
    server, latency = load["server"], load["latency"]
    errors = sum(error["count"] for error in load["errors"].values())
    if errors:
        example = next(iter(load["errors"].values()))["example"]
        raise Trouble(f"{errors} of {load['requests']} requests failed: {example}")
    return {
        "requests/s": load["per_second"],
        "p50 us": latency["p50_us"],
        "p99 us": latency["p99_us"],
        "p99.9 us": latency["p999_us"],
        "CPU ns/request": server["cpu_ns_per_request"],
        "server cores": server["cores"],
        "generator cores": load["generator_cores"],
        "generator ns/request": load["generator_cpu_ns_per_request"],
        "resident MiB": server["memory"]["resident"] / 2**20,
    }


def plain(workload, size, connections, depth, *more):
    """A load of one kind of request."""

    def run(bench, server):
        options = ["--value-size", size, "--connections", connections, "--depth", depth]
        options += ["--keys", bench.scale.keys, *more]
        if not workload.startswith(("set", "session", "create")):
            options.append("--load")
        return figures_of(bench.load(server, workload, *options, *bench.timed()))

    return run


def resident_bytes(pid):
    """What of a process is in memory."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def fill(size):
    """Memory of sessions as strings with a TTL."""

    def run(bench, server):
        results = bench.load(server, "fill", "--keys", bench.scale.sessions, "--value-size", size, "--ttl", 1800)
        figures = figures_of(results["load"])
        live_each = results["live_bytes"] / bench.scale.sessions
        time.sleep(REST_S)
        at_rest = resident_bytes(server.pid) - results["empty_resident_bytes"]
        return {
            "memory / live": results["ratio"],
            "bytes each": results["bytes_per_key"],
            "bytes beyond key and value": results["bytes_per_key"] - live_each,
            "bytes beyond, at rest": at_rest / bench.scale.sessions - live_each,
            **figures,
        }

    return run


def churn(workload):
    """A workload of the log-structured memory paper: the ratio after each phase."""

    def run(bench, server):
        options = ["--live", bench.scale.live]
        results = bench.load(server, workload, *options, timeout=1_800)
        figures = {}
        for phase in results["phases"]:
            figures[f"memory / live after {phase['name']}"] = phase["ratio"]
            figures[f"s for {phase['name']}"] = phase["seconds"]
        return figures

    return run


def churn_scenario(name, workload, about, phases, rested=False):
    """The scenario of one memory workload, with a goal for each phase that ends full."""
    figures = [f"memory / live after {phase}" for phase in phases]
    goals = [Goal(figure, "value", "<=", 1.5) for figure in figures]
    if rested:
        rest = "memory / live after 5 s after the deletes"
        goals.append(Goal(rest, "value", "<=", 3.0))
        figures.insert(1, rest)
    return Scenario(name, about, churn(workload), tuple(goals), rounds=1, shown=tuple(figures))


def utilisation(bench, server):
    """Overwrites at random while half, and then nine tenths, of the memory limit is in use."""
    value = 1_000
    limit = bench.scale.limit_mib * 2**20
    figures = {}
    for percentage in (50, 90):
        keys = limit * percentage // 100 // (KEY_BYTES + value + ENTRY_OVERHEAD)
        options = ["--keys", keys, "--value-size", value, "--connections", 50, "--depth", 16]
        options += ["--load", "--seconds", bench.scale.seconds * 2, "--warmup", bench.scale.warmup * 5]
        load = figures_of(bench.load(server, "set", *options))
        figures[f"requests/s at {percentage} %"] = load["requests/s"]
        figures[f"p99 us at {percentage} %"] = load["p99 us"]
        figures[f"resident MiB at {percentage} %"] = load["resident MiB"]
    figures["90 % / 50 %"] = figures["requests/s at 90 %"] / figures["requests/s at 50 %"]
    return figures


def expiry_wave(bench, server):
    """Sessions that all expire within one second."""
    options = ["--keys", bench.scale.wave, "--background-keys", bench.scale.keys, "--value-size", 300]
    wave = bench.load(server, "expire-wave", *options)["wave"]
    return {
        "s until all gone": wave["gone_after_first_deadline_s"],
        "p99 us before": wave["before"]["p99_us"],
        "p99 us during": wave["during"]["p99_us"],
        "p99 during / before": wave["p99_ratio"],
        "resident MiB before": wave["resident_before_bytes"] / 2**20,
        "resident MiB after": wave["resident_after_bytes"] / 2**20,
    }


def restart(bench, server):
    """Stops the server in good order and times its start until it serves everything again."""
    value = 1_000
    keys = bench.scale.sessions
    bench.load(server, "fill", "--keys", keys, "--value-size", value, "--ttl", 86_400)
    server.stop(signal.SIGTERM)
    file_bytes = bytes_on_disk(server.data())
    begun = time.monotonic()
    server.start()
    seconds = time.monotonic() - begun
    found = ask(server.addr, "DBSIZE")
    if found != f":{keys}":
        raise Trouble(f"DBSIZE is {found} instead of {keys} after the restart")
    live = keys * (KEY_BYTES + value)
    return {
        "seconds": seconds,
        "file MB": file_bytes / 1e6,
        "file MB/s": file_bytes / 1e6 / seconds,
        "live MB/s": live / 1e6 / seconds,
        "s per live GB": seconds / (live / 1e9),
    }


def bytes_on_disk(directory):
    """Bytes that the files below a directory take: their length, or less if they have holes."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            status = os.stat(os.path.join(path, name))
            total += min(status.st_size, status.st_blocks * 512)
    return total


def hand_over(bench, server):
    """Connections that wait for one session."""
    options = ["--connections", bench.scale.waiters, *bench.timed()]
    results = bench.load(server, "hold-contention", *options)
    latency = results["hand_over"]
    return {
        "hand-overs/s": results["hand_overs_per_second"],
        "p50 us": latency["p50_us"],
        "p99 us": latency["p99_us"],
        "p99.9 us": latency["p999_us"],
        "fewest grants": results["grants_fewest"],
        "most grants": results["grants_most"],
        "overtaken": results["overtakings"],
        "overtaken by at most us": results["worst_overtaking_us"],
    }


def hold_many(bench, server):
    """Sessions held at the same time."""
    options = ["--keys", bench.scale.held, "--hold", 600_000]
    results = bench.load(server, "hold-many", *options)
    return {
        "held at once": results["held"],
        "refused / tried": results["refused"] / results["tried"],
        "released": results["released"],
        "bytes each": results["bytes_per_session"],
        "opens/s": results["open"]["per_second"],
        "releases/s": results["release"]["per_second"],
    }


CPU = Goal("CPU ns/request", "ratio", "<=", 0.80)
TWICE = Goal("requests/s", "ratio", ">=", 2.0)
EVERYSEC = (Goal("requests/s", "ratio", ">=", 1.8), Goal("p99 us", "ratio", "<=", 0.5))
MEMORY = ("memory / live", "bytes each", "bytes beyond key and value", "bytes beyond, at rest", "requests/s")
OVERHEAD = Goal("bytes beyond key and value", "value", "<=", ENTRY_OVERHEAD)
AT_REST = Goal("bytes beyond, at rest", "value", "<=", ENTRY_OVERHEAD)
WRITTEN = ("first sizes", "last sizes")


def deep(redis, valkey):
    """The goals of a pipelined load."""
    bounds = {"redis": redis, "valkey": valkey}
    return tuple(Goal("requests/s", "ratio", ">=", bound, peer) for peer, bound in bounds.items())


SCENARIOS = [
    Scenario("set-100", "SET 100 B, 50 connections, depth 1", plain("set", 100, 50, 1), (CPU,)),
    Scenario("get-100", "GET 100 B, 50 connections, depth 1", plain("get", 100, 50, 1), (CPU,)),
    Scenario("set-1k", "SET 1 KB, 50 connections, depth 1", plain("set", 1000, 50, 1), (CPU,)),
    Scenario("get-1k", "GET 1 KB, 50 connections, depth 1", plain("get", 1000, 50, 1), (CPU,)),
    Scenario("lone-set", "SET 100 B, one connection that blocks", plain("set", 100, 1, 1), (TWICE,)),
    Scenario("lone-get", "GET 100 B, one connection that blocks", plain("get", 100, 1, 1), (TWICE,)),
    Scenario("lone-set-spin", "SET 100 B, one connection that polls", plain("set", 100, 1, 1, "--spin"), (TWICE,)),
    Scenario("lone-get-spin", "GET 100 B, one connection that polls", plain("get", 100, 1, 1, "--spin"), (TWICE,)),
    Scenario("deep-set-100", "SET 100 B, 50 connections, depth 16", plain("set", 100, 50, 16), deep(2.2, 1.5)),
    Scenario("deep-get-100", "GET 100 B, 50 connections, depth 16", plain("get", 100, 50, 16), deep(2.2, 1.5)),
    Scenario("deep-set-1k", "SET 1 KB, 50 connections, depth 16", plain("set", 1000, 50, 16), deep(2.5, 1.3)),
    Scenario("deep-get-1k", "GET 1 KB, 50 connections, depth 16", plain("get", 1000, 50, 16), deep(2.5, 1.3)),
    Scenario(
        "everysec-100",
        "SET 100 B, 50 connections, depth 16, synced every second",
        plain("set", 100, 50, 16),
        EVERYSEC,
        sync="everysec",
    ),
    Scenario(
        "everysec-1k",
        "SET 1 KB, 50 connections, depth 16, synced every second",
        plain("set", 1000, 50, 16),
        EVERYSEC,
        sync="everysec",
    ),
    Scenario(
        "always-100",
        "SET 100 B, 50 connections, depth 1, acknowledged when synced",
        plain("set", 100, 50, 1),
        sync="always",
    ),
    Scenario(
        "zipf-mixed",
        "80 % GET, 20 % SET of 1 KB, zipf, 50 connections, depth 1",
        plain("mixed:80", 1000, 50, 1, "--distribution", "zipf"),
    ),
    Scenario(
        "sessions",
        "SESSION.OPEN with a hold and SESSION.COMMIT in turn, 1 KB, 50 connections",
        plain("session", 1000, 50, 1),
        tenure_only=True,
    ),
    Scenario(
        "memory-300",
        "memory of sessions of 300 B with a TTL",
        fill(300),
        (Goal("memory / live", "value", "<=", 1.15), OVERHEAD, AT_REST),
        memory="4GiB",
        rounds=1,
        shown=MEMORY,
    ),
    Scenario(
        "memory-1k",
        "memory of sessions of 1 KB with a TTL",
        fill(1000),
        (Goal("memory / live", "value", "<=", 1.06), OVERHEAD, AT_REST),
        memory="4GiB",
        rounds=1,
        shown=MEMORY,
    ),
    churn_scenario("w1", "memory:W1", "100 B replaced by 100 B", WRITTEN),
    churn_scenario("w2", "memory:W2", "100 B, then 130 B", WRITTEN),
    churn_scenario("w3", "memory:W3", "100 B, 90 % deleted, then 130 B", WRITTEN, rested=True),
    churn_scenario("w4", "memory:W4", "100-150 B, then 200-250 B", WRITTEN),
    churn_scenario("w5", "memory:W5", "100-150 B, 90 % deleted, then 200-250 B", WRITTEN),
    churn_scenario("w6", "memory:W6", "100-200 B, 50 % deleted, then 1-2 KB", WRITTEN),
    churn_scenario("w7", "memory:W7", "1-2 KB, 90 % deleted, then 1.5-2.5 KB", WRITTEN),
    churn_scenario("w8", "memory:W8", "50-150 B, 90 % deleted, then 5-15 KB", WRITTEN),
    churn_scenario("growing", "growing", "sizes that grow from 100 B to 1 KB", ("growing sizes",)),
    Scenario(
        "utilisation",
        "overwrites of 1 KB with 50 % and with 90 % of the memory limit in use",
        utilisation,
        (Goal("90 % / 50 %", "value", ">=", 0.75),),
        rounds=3,
        tenure_only=True,
        shown=("requests/s at 50 %", "requests/s at 90 %", "90 % / 50 %", "p99 us at 50 %", "p99 us at 90 %"),
    ),
    Scenario(
        "expire-wave",
        "sessions of 300 B that all expire within one second, others being read",
        expiry_wave,
        (Goal("s until all gone", "value", "<=", 2.0), Goal("p99 during / before", "value", "<=", 2.0)),
        memory="4GiB",
        rounds=3,
        shown=("s until all gone", "p99 us before", "p99 us during", "p99 during / before", "resident MiB after"),
    ),
    Scenario(
        "restart",
        "restart with sessions of 1 KB, on all cores, files in the page cache",
        restart,
        (Goal("file MB/s", "value", ">=", 1_000), Goal("s per live GB", "value", "<=", 1.0)),
        sync="everysec",
        memory="4GiB",
        rounds=3,
        pinned=False,
        shown=("seconds", "file MB", "file MB/s", "live MB/s", "s per live GB"),
    ),
    Scenario(
        "hand-over",
        "connections that wait for one session",
        hand_over,
        (Goal("p99 us", "value", "<=", 1_000),),
        rounds=3,
        tenure_only=True,
        shown=("hand-overs/s", "p50 us", "p99 us", "p99.9 us", "fewest grants", "most grants", "overtaken by at most us"),
    ),
    Scenario(
        "holds",
        "sessions held at the same time",
        hold_many,
        (Goal("held at once", "value", ">=", 100_000), Goal("refused / tried", "value", ">=", 1.0)),
        rounds=1,
        tenure_only=True,
        shown=("held at once", "refused / tried", "released", "bytes each", "opens/s", "releases/s"),
    ),
]
