"""JuiceFS as a client: a volume whose directory is a file here, and whose blocks are keys of the server under test.

The program reaches the server through go-redis alone, with `SET`, `GET`, `DEL`, `EXISTS`, `SCAN` and pipelines of `STRLEN`. What it
has written is read again by other processes, which have no cache of it, and looked at on the server itself.
"""

import contextlib
import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import wire  # noqa: E402
from harness.clusters import until  # noqa: E402
from harness.servers import reserve_port  # noqa: E402

PROGRAM = os.environ["JUICEFS"]
IS_TENURE = os.environ["TENURE_SERVER"] == "tenure"
NODES = json.loads(os.environ.get("TENURE_NODES", "[]"))
BLOCK = 64 * 1024
_LIMIT_S = 120


class Failed(Exception):
    """The program ended with an error, or never ended; the message has what it printed."""


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


@contextlib.contextmanager
def wire_of(at, database=0):
    """A connection to one server, in this database."""
    with contextlib.closing(wire.Connection(address(at))) as connection:
        if database:
            connection.call("SELECT", database)
        yield connection


def call(at, *words):
    """One command at one server."""
    with wire_of(at) as connection:
        return connection.call(*words)


def run(*words):
    """Runs the program to its end; what it printed, its log included."""
    return "".join(_run(*words))


def ask(*words):
    """The same, without its log, in which there may be a line whatever it is told."""
    output, _log = _run(*words)
    return output


def _run(*words):
    with tempfile.TemporaryDirectory(prefix="juicefs-home-") as home:
        process = subprocess.Popen(
            [PROGRAM, "--no-agent", "--no-color", *map(str, words)], env={"HOME": home, **_volumes}, cwd=home, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            printed = process.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired as late:
            process.kill()
            printed = process.communicate()
            raise Failed(f"{words[0]} does not end:\n{''.join(printed)}") from late
    if process.returncode != 0:
        raise Failed(f"{words[0]} exited with {process.returncode}:\n{''.join(printed)}")
    return printed


# The directories of all volumes that were made: `sync` finds one in the environment, under the volume's name.
_volumes = {}


class Volume:
    """A volume on the server that `url` names; `with` it, and it is gone at the end."""

    def __init__(self, name, url):
        self.name = name
        self._directory = Path(tempfile.mkdtemp(prefix="juicefs-"))
        self.meta = f"sqlite3://{self._directory}/meta.db"
        _volumes[name] = self.meta
        try:
            run("format", "--storage", "redis", "--bucket", url, "--block-size", f"{BLOCK // 1024}K", "--trash-days", 0, self.meta, name)
        except Failed:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        shutil.rmtree(self._directory, ignore_errors=True)
        _volumes.pop(self.name, None)

    def write(self, folder, *options):
        """Copies all files of a folder into the volume."""
        return run("sync", "--metrics", "127.0.0.1:0", "--max-failure", 0, *options, f"file://{folder}/", f"jfs://{self.name}/")

    def read(self, folder):
        """Copies all files of the volume into a folder."""
        return run("sync", "--metrics", "127.0.0.1:0", "--max-failure", 0, f"jfs://{self.name}/", f"file://{folder}/")

    def check(self):
        """Lists all blocks and compares them with the directory; what is missing is an error."""
        return run("fsck", self.meta)

    def destroy(self):
        """Deletes every block."""
        uuid = json.loads(ask("--quiet", "status", self.meta))["Setting"]["UUID"]
        return run("destroy", "--force", self.meta, uuid)


class Folder:
    """Files with every byte in them: empty, of one byte, around the size of a block, of some blocks, and many small ones."""

    def __init__(self, small, large=3_000_000):
        self.path = Path(tempfile.mkdtemp(prefix="juicefs-files-"))
        self._random = random.Random(7)
        for size in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, large):
            self._file(f"size-{size}", size)
        (self.path / "small").mkdir()
        for number in range(small):
            self._file(f"small/{number}", 100 + number % 400)

    def _file(self, name, size):
        (self.path / name).write_bytes(self._random.randbytes(size))

    def blocks(self):
        """The hashes of the blocks that these files are cut into."""
        all_blocks = []
        for file in self.path.rglob("*"):
            if file.is_file():
                data = file.read_bytes()
                all_blocks += [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
        return sorted(hashlib.sha256(block).hexdigest() for block in all_blocks)

    def is_same_as(self, other):
        """Whether both folders have the same files with the same bytes."""
        done = subprocess.run(["diff", "--recursive", "--brief", self.path, other], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(done.stdout)
        return done.returncode == 0

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


@contextlib.contextmanager
def empty_folder():
    with tempfile.TemporaryDirectory(prefix="juicefs-back-") as folder:
        yield Path(folder)


def keys(at, pattern, database=0):
    """The keys of one server, and their values' hashes."""
    found = {}
    with wire_of(at, database) as connection:
        cursor = None
        while cursor != "0":
            reply = connection.call("SCAN", cursor or "0", "MATCH", pattern, "COUNT", 1000)
            cursor = reply.items[0].text()
            for key in reply.items[1].items:
                found[key.text()] = hashlib.sha256(connection.call("GET", key.body).body).hexdigest()
    return found


def primaries():
    """The nodes of a cluster that lead something."""
    found = []
    for node in NODES:
        # One was killed, maybe.
        with contextlib.suppress(OSError, wire.Closed):
            if b"master" in call(node["address"], "ROLE").raw:
                found.append(node["address"])
    return found


def kill(port):
    """Kills the process that serves this port, at once."""
    os.kill(next(node["pid"] for node in NODES if node["address"].endswith(f":{port}")), signal.SIGKILL)


class Web:
    """The volume served over HTTP: one process with a pool of connections for as long as `with` lasts, and no cache."""

    def __init__(self, volume):
        self._at = f"127.0.0.1:{reserve_port()}"
        self._home = tempfile.mkdtemp(prefix="juicefs-home-")
        self._log = open(Path(self._home) / "log", "w+")
        self._process = subprocess.Popen(
            [PROGRAM, "--no-agent", "webdav", "--no-usage-report", "--metrics", "127.0.0.1:0", "--backup-meta", "0", "--no-bgjob",
             "--cache-size", "0", "--cache-dir", "memory", volume.meta, self._at],
            env={"HOME": self._home}, cwd=self._home, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def __enter__(self):
        try:
            until("the volume is served", self._answers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception):
        self._process.terminate()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            self._log.close()
            shutil.rmtree(self._home, ignore_errors=True)

    def log(self):
        """What the program printed so far."""
        return Path(self._log.name).read_text(errors="replace")

    def failed(self):
        """How many requests to the storage have failed so far: JuiceFS tries again by itself when go-redis has given up."""
        (at,) = re.findall(r'metrics listening on "(.*?)"', self.log())
        with urllib.request.urlopen(f"http://{at}/metrics", timeout=10) as reply:
            metrics = reply.read().decode()
        (count,) = re.findall(r"^juicefs_object_request_errors(?:\{.*\})? (\S+)$", metrics, re.MULTILINE)
        return int(float(count))

    def put(self, name, data):
        with self._request(name, "PUT", data) as reply:
            reply.read()

    def get(self, name):
        with self._request(name, "GET") as reply:
            return reply.read()

    def _request(self, name, method, data=None):
        return urllib.request.urlopen(urllib.request.Request(f"http://{self._at}/{name}", data=data, method=method), timeout=_LIMIT_S)

    def _answers(self):
        if self._process.poll() is not None:
            raise AssertionError(f"it ended:\n{self.log()}")
        try:
            self._request("", "OPTIONS").close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


class Writers:
    """Threads that write files through a `Web` without pause while `with` lasts; every one that is not taken is kept in `errors`."""

    def __init__(self, web, threads=4):
        self.errors = []
        self._longest_s = 0.0
        self._web = web
        self._taken = {}
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception):
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, count):
        """Waits until so many more files are written."""
        goal = len(self._taken) + count
        until(f"{count} files are written after {len(self._taken)} ({self.errors[:3]})", lambda: len(self._taken) >= goal)

    def _run(self, thread):
        for number in range(1 << 30):
            if self._ends.is_set():
                return
            name = f"written-{thread}-{number}"
            began = time.monotonic()
            try:
                self._web.put(name, name.encode() * 50)
            except OSError as error:
                self.errors.append(f"{name}: {error}")
            else:
                self._taken[name] = time.monotonic()
            self._longest_s = max(self._longest_s, time.monotonic() - began)

    def report(self):
        return f"{len(self._taken)} files, {len(self.errors)} errors, longest {self._longest_s * 1000:.0f} ms"

    def lost(self, killed_at=math.inf):
        """Files that were taken and do not come back."""
        # Redis acknowledges before it has replicated: what it took just before its end it may have taken with it.
        sure = [name for name, at in self._taken.items() if IS_TENURE or not killed_at - 0.5 < at < killed_at + 0.1]
        return [name for name in sure if self._web.get(name) != name.encode() * 50]
