"""The machine under the comparison: cores, other people's load, what it is made of."""

import ctypes
import os
import platform
import resource
import signal
import time

PR_SET_PDEATHSIG = 1
TICK = os.sysconf("SC_CLK_TCK")


def child_setup(core):
    """What a child does before it becomes a server or a generator: it dies with this script, whatever
    happens to the script, and it stays on its core."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def setup():
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if core is not None:
            os.sched_setaffinity(0, {core})

    return setup


def choose_cores(wanted):
    """The cores of server and generator, or none of both where there are too few to keep them apart."""
    available = os.sched_getaffinity(0)
    if set(wanted) <= available and wanted[0] != wanted[1]:
        return wanted
    return (None, None)


def raise_file_limit():
    """A thousand connections need more files than shells usually allow."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def busy_seconds():
    """CPU time that all cores have spent on anything, in seconds."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def process_seconds(pid):
    """CPU time of a process, in seconds; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


class ForeignLoad:
    """How many cores others used while something ran: figures taken beside a compiler are worth little."""

    def __init__(self, server_pid):
        self.server_pid = server_pid
        self.children = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        self.own = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        self.server = process_seconds(server_pid)
        self.busy = busy_seconds()
        self.begun = time.monotonic()

    def cores(self):
        """Cores in use by others since the beginning. The generator has ended and been waited for."""
        elapsed = max(time.monotonic() - self.begun, 1e-6)
        ours = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - self.children
        ours += sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - self.own
        ours += max(process_seconds(self.server_pid) - self.server, 0.0)
        return max((busy_seconds() - self.busy - ours) / elapsed, 0.0)


def describe():
    """What the figures were taken on."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
    }
