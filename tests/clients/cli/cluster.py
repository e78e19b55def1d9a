"""redis-cli 7 with `-c`, its questions about a cluster, and redis-benchmark with `--cluster`."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
PORT = os.environ["TENURE_ADDR"].split(":")[1]
_count = 0


def cli(*words, stdin=None):
    done = subprocess.run(["redis-cli", "-p", PORT, *words], input=stdin, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def check(name, good, shown=""):
    global _count
    _count += 1
    print(f"{'ok' if good else 'not ok'} {_count} - redis-cli 7: {name}")
    for line in "" if good else shown.splitlines():
        print(f"  {line}")


def main():
    keys = [f"k{number}" for number in range(100)]
    sets = cli("-c", stdin="".join(f"SET {key} {key}\n" for key in keys))
    check("-c follows MOVED when it writes", sets.count("OK") == 100, sets)
    gets = cli("-c", stdin="".join(f"GET {key}\n" for key in keys))
    check("-c follows MOVED when it reads", all(key in gets for key in keys), gets)
    moved = cli(stdin="".join(f"GET {key}\n" for key in keys))
    check("without -c it is told MOVED", "MOVED" in moved, moved)
    answered = cli("--cluster", "check", f"127.0.0.1:{PORT}")
    check("--cluster check finds all slots", "All 16384 slots covered" in answered, answered)
    answered = cli("--cluster", "info", f"127.0.0.1:{PORT}")
    check("--cluster info counts the keys", "100 keys in 3 masters" in answered, answered)
    answered = cli("--cluster", "call", f"127.0.0.1:{PORT}", "CLUSTER", "MYID")
    check("--cluster call asks every node", answered.count(f"127.0.0.1:") >= 3, answered)
    command = ["redis-benchmark", "-p", PORT, "--cluster", "-q", "-n", "3000", "-t", "set,get,incr,hset"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    check("redis-benchmark --cluster", done.returncode == 0 and done.stdout.count("requests per second") == 4, done.stdout + done.stderr)
    print(f"1..{_count}")


if __name__ == "__main__":
    main()
