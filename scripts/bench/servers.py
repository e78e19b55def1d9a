"""Starting and stopping the servers that are compared.

Each server runs in a directory of its own, on ports that the system chooses, and is gone when the `with`
block ends, however it ends.
"""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from . import machine

START_SECONDS = 120
STOP_SECONDS = 60
HOST = "127.0.0.1"
# Each persistence, and what it takes of a Redis to be alike. `off`: nothing is written to disk. Else both write
# to the operating system before they answer, and sync as the name says.
PERSISTENCE = {
    "off": ["--appendonly", "no"],
    "none": ["--appendonly", "yes", "--appendfsync", "no"],
    "everysec": ["--appendonly", "yes", "--appendfsync", "everysec"],
    "always": ["--appendonly", "yes", "--appendfsync", "always"],
}


class Trouble(Exception):
    """Something that the user has to know, in words."""


class Binary:
    """A server's program: which family it is of, and its version."""

    def __init__(self, path):
        # Servers are started in directories of their own, so a relative path would lead elsewhere.
        self.path = os.path.abspath(shutil.which(path) or path)
        if not os.access(self.path, os.X_OK) or os.path.isdir(self.path):
            raise Trouble(f"there is no server program '{path}'")
        try:
            text = subprocess.run(
                [self.path, "--version"], capture_output=True, text=True, timeout=20, check=False
            ).stdout.strip()
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Trouble(f"'{path} --version' does not run: {error}") from error
        if text.startswith("tenure"):
            self.family, self.name = "tenure", text
        elif "server v=" in text:
            self.family = "redis"
            kind = text.split()[0].lower()
            self.name = f"{kind} {re.search(r'v=([0-9.]+)', text)[1]}"
        else:
            raise Trouble(f"'{path}' is neither Tenure nor a Redis: its version is '{text[:80]}'")

    def server(self, **conditions):
        """A server of this program, not started yet."""
        kind = Tenure if self.family == "tenure" else Redis
        return kind(self.path, **conditions)


class Server:
    """A server process. `with` starts it and stops it."""

    def __init__(self, path, sync="off", memory="1GiB", core=None, base=None):
        self.path, self.sync, self.memory, self.core = path, sync, memory, core
        self.directory = tempfile.mkdtemp(prefix="tenure-compare-", dir=base)
        self.process = None
        self.addr = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self):
        """The process id."""
        return self.process.pid

    def data(self):
        """Where its data is."""
        path = os.path.join(self.directory, "data")
        os.makedirs(path, exist_ok=True)
        return path

    def launch(self, command, stdout):
        """Starts the program; what it says goes to `stdout` and to a log file."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TENURE_")}
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                cwd=self.directory,
                env=environment,
                start_new_session=True,
                preexec_fn=machine.child_setup(self.core),
            )

    def stop(self, how=signal.SIGTERM):
        """Stops it and waits until it is gone."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    def said(self):
        """The end of its log, for a message."""
        try:
            with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
                return " | ".join(log.read().strip().splitlines()[-3:])
        except OSError:
            return ""

    def fail(self, what):
        """Raises what went wrong with what the server said about it."""
        raise Trouble(f"{self.path} {what}: {self.said() or 'it said nothing'}")

    def wait_until_it_serves(self, deadline):
        """Waits for an answer to PING that is not an error."""
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.fail(f"ended with {self.process.returncode}")
            try:
                if not ask(self.addr, "PING").startswith("-"):
                    return
            except OSError:
                pass
            time.sleep(0.002)
        self.fail(f"does not answer after {START_SECONDS} s")


class Tenure(Server):
    """`tenure serve`: it prints one line when it is ready, with the ports that it was given."""

    def start(self):
        """Starts it and waits until it is ready."""
        command = [self.path, "serve", "--listen", f"{HOST}:0", "--admin", f"{HOST}:0"]
        command += ["--memory", self.memory]
        command += ["--dir", "off"] if self.sync == "off" else ["--dir", self.data(), "--sync", self.sync]
        self.launch(command, subprocess.PIPE)
        deadline = time.monotonic() + START_SECONDS
        line = self.ready_line(deadline)
        found = re.search(r"ready on ([0-9.]+:\d+)", line)
        if not found:
            self.fail(f"printed '{line}' instead of its ready line")
        self.addr = found[1]
        admin = re.search(r"admin (?:http://)?([0-9.]+:\d+)", line)
        if admin:
            self.check_admin(admin[1])
        self.wait_until_it_serves(deadline)

    def ready_line(self, deadline):
        """The first line of its output."""
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                self.fail(f"was not ready after {START_SECONDS} s")
            piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                self.process.wait()
                self.fail(f"ended with {self.process.returncode}")
            line += piece
        return line.decode(errors="replace").splitlines()[0]

    def check_admin(self, addr):
        """It said that it is ready: its admin port has to say so too."""
        try:
            with urllib.request.urlopen(f"http://{addr}/readyz", timeout=10) as reply:
                status = reply.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError as error:
            self.fail(f"does not answer on its admin port ({error})")
        if status != 200:
            self.fail(f"says that it is ready while /readyz answers {status}")


class Redis(Server):
    """A `redis-server` or one of its kin."""

    def start(self):
        """Starts it and waits until it answers."""
        port = reserve_port()
        self.addr = f"{HOST}:{port}"
        command = [self.path, "--bind", HOST, "--port", str(port), "--dir", self.data()]
        command += ["--daemonize", "no", "--save", "", *PERSISTENCE[self.sync]]
        self.launch(command, None)
        self.wait_until_it_serves(time.monotonic() + START_SECONDS)


def reserve_port():
    """A port for a server, which nobody else gets meanwhile: its TIME-WAIT keeps it from all who ask for any (see `crates/ports`)."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((HOST, port)) as client:
            listener.accept()[0].close()
            client.recv(1)
    return port


def ask(addr, *arguments):
    """The first line of the reply to one command."""
    host, port = addr.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as stream:
        request = f"*{len(arguments)}\r\n"
        request += "".join(f"${len(argument)}\r\n{argument}\r\n" for argument in arguments)
        stream.sendall(request.encode())
        reply = stream.makefile("rb").readline()
    if not reply:
        raise OSError("the connection was closed")
    return reply.decode(errors="replace").strip()
