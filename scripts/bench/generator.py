"""The load generator, `tenure bench`, and how it is found, built and run."""

import json
import os
import subprocess

from . import machine
from .servers import Trouble

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cargo(*arguments):
    """Runs cargo in this repository; its output goes to the terminal."""
    try:
        subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, stdout=2)
    except FileNotFoundError as error:
        raise Trouble("cargo is not installed, so give --tenure and --generator") from error
    except subprocess.CalledProcessError as error:
        raise Trouble(f"cargo {' '.join(arguments)} failed") from error


def target_directory():
    """Where cargo puts what it builds."""
    try:
        text = subprocess.run(
            ["cargo", "metadata", "--no-deps", "--format-version", "1"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return os.path.join(ROOT, "target")
    return json.loads(text)["target_directory"]


def build_tenure():
    """The release build of this tree's `tenure`."""
    cargo("build", "--release", "--package", "tenure")
    return os.path.join(target_directory(), "release", "tenure")


def find_generator(path, tenure):
    """The command that runs the generator: what was asked for, or `tenure bench`, or the example that
    holds nothing but the generator."""
    if path:
        if not os.access(path, os.X_OK):
            raise Trouble(f"there is no load generator '{path}'")
        return [path, "bench"] if has_bench(path) else [path]
    if has_bench(tenure):
        return [tenure, "bench"]
    cargo("build", "--release", "--package", "tenure-bench", "--example", "bench")
    return [os.path.join(target_directory(), "release", "examples", "bench")]


def has_bench(path):
    """Whether this is a `tenure` with the subcommand `bench`."""
    try:
        reply = subprocess.run([path, "bench", "--help"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return reply.returncode == 0 and b"--workload" in reply.stdout


class Generator:
    """Runs loads on a core of its own."""

    def __init__(self, command, core):
        self.command, self.core = command, core

    def run(self, server, options, timeout):
        """Puts one load on `server` and answers its results."""
        command = [*self.command, "--addr", server.addr, "--server-pid", str(server.pid)]
        command += ["--json", "-", *map(str, options)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                env={**os.environ, "RUST_BACKTRACE": "0"},
                preexec_fn=machine.child_setup(self.core),
            )
        except subprocess.TimeoutExpired as error:
            raise Trouble(f"the load '{' '.join(map(str, options))}' had not ended after {timeout} s") from error
        if done.returncode != 0:
            if server.process.poll() is not None:
                server.fail(f"ended with {server.process.returncode} under load")
            raise Trouble((done.stderr.strip() or done.stdout.strip() or "the generator failed")[-600:])
        return json.loads(done.stdout)["results"]
