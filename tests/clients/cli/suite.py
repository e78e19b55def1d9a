"""redis-cli and redis-benchmark, as operators use them: commands, pipes, scans and reports."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import tap  # noqa: E402

HOST, _, PORT = os.environ["TENURE_ADDR"].partition(":")


def cli(*arguments, stdin=None, seconds=20):
    """Runs redis-cli; answers with what it printed, as text."""
    command = ["redis-cli", "-h", HOST, "-p", PORT, *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, timeout=seconds, check=False, stdin=None if stdin is not None else subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise AssertionError(f"{command} exited with {done.returncode}: {done.stdout + done.stderr!r}")
    return done.stdout.decode("utf-8", "surrogateescape")


class RedisCli(unittest.TestCase):
    def shortDescription(self):
        return f"redis-cli: {super().shortDescription()}"

    def setUp(self):
        cli("FLUSHALL")

    def test_command(self):
        """one command per call, in RESP2 and RESP3"""
        for protocol in ("-2", "-3"):
            self.assertEqual(cli(protocol, "SET", "k", "v", "EX", 100), "OK\n")
            self.assertEqual(cli(protocol, "GET", "k"), "v\n")
            self.assertEqual(cli(protocol, "GET", "absent"), "\n")
            self.assertEqual(cli(protocol, "HSET", "h", "f", "v"), "1\n" if protocol == "-2" else "0\n")

    def test_interactive(self):
        """a session of lines with SELECT, an error and quotes"""
        lines = b'SET "a key" "two words"\nGET "a key"\nSELECT 3\nDBSIZE\nINCR\nSELECT 0\nDBSIZE\n'
        out = cli(stdin=lines)
        self.assertEqual(
            out.split("\n")[:-1],
            ["OK", "two words", "OK", "0", "ERR wrong number of arguments for 'incr' command", "", "OK", "1"],
        )

    def test_formats(self):
        """raw, CSV and JSON output of a hash"""
        cli("HSET", "h", "f", "v")
        self.assertEqual(cli("--no-raw", "HGETALL", "h"), '1) "f"\n2) "v"\n')
        self.assertEqual(cli("--csv", "HGETALL", "h"), '"f","v"\n')
        self.assertEqual(cli("--json", "HGETALL", "h").replace(" ", ""), '{"f":"v"}\n')

    def test_stdin_argument(self):
        """-x takes the last argument from standard input, every byte of it"""
        data = bytes(range(256)) * 64
        cli("-x", "SET", "bytes", stdin=data)
        self.assertEqual(cli("STRLEN", "bytes"), f"{len(data)}\n")

    def test_pipe(self):
        """--pipe loads 20,000 commands and counts no error"""
        load = b"".join(
            b"*3\r\n$3\r\nSET\r\n$%d\r\nsess:%d\r\n$2\r\nvv\r\n" % (len(b"sess:%d" % n), n) for n in range(20_000)
        )
        out = cli("--pipe", stdin=load)
        self.assertIn("errors: 0, replies: 20000", out)
        self.assertEqual(cli("DBSIZE"), "20000\n")

    def test_scan(self):
        """--scan walks a pattern to its end"""
        self._fill(2_000)
        keys = set(cli("--scan", "--pattern", "sess:1*").split())
        self.assertEqual(len(keys), 1_111)

    def test_bigkeys(self):
        """--bigkeys finds the biggest string and the biggest hash"""
        self._fill(300)
        cli("SET", "sess:big", "x" * 5_000)
        cli("HSET", "cart", *[word for n in range(40) for word in (f"f{n}", n)])
        out = cli("--bigkeys")
        self.assertIn("Sampled 302 keys in the keyspace!", out)
        self.assertRegex(out, r'Biggest string found ["\']+sess:big["\']+ has 5000 bytes')
        self.assertRegex(out, r'Biggest +hash found ["\']+cart["\']+ has 40 fields')

    def test_memkeys(self):
        """--memkeys asks MEMORY USAGE of each key"""
        self._fill(50)
        cli("SET", "sess:big", "x" * 5_000)
        out = cli("--memkeys")
        self.assertIn("Sampled 51 keys in the keyspace!", out)
        self.assertRegex(out, r'Biggest string found ["\']+sess:big["\']+ has \d+ bytes')

    def test_stat(self):
        """--stat reads INFO again and again"""
        self._fill(30)
        process = subprocess.Popen(
            ["redis-cli", "-h", HOST, "-p", PORT, "-i", "0.05", "--stat"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        try:
            lines = [process.stdout.readline().decode() for _ in range(5)]
        finally:
            process.kill()
            process.communicate()
        self.assertIn("keys", lines[1])
        for line in lines[2:]:
            self.assertEqual(line.split()[0], "30", line)

    def test_latency(self):
        """--latency pings and reports"""
        out = cli("--raw", "--latency", "-i", "0.2")
        low, high, average, samples = out.split()[:4]
        self.assertLessEqual(float(low), float(average))
        self.assertLessEqual(float(average), float(high))
        self.assertGreater(int(samples), 0)

    def test_help(self):
        """COMMAND DOCS gives redis-cli its hints and help"""
        out = cli("COMMAND", "DOCS", "get", "hset")
        self.assertIn("summary", out)
        self.assertEqual(int(cli("COMMAND", "COUNT")) > 50, True)

    def test_repeat(self):
        """-r repeats a command at an interval"""
        self.assertEqual(cli("-r", 3, "-i", "0.01", "INCR", "n"), "1\n2\n3\n")

    def test_info(self):
        """INFO, CLIENT LIST, CONFIG GET, SLOWLOG and MEMORY answer"""
        self.assertIn("redis_version:", cli("INFO", "server"))
        self.assertIn("role:master", cli("INFO", "replication"))
        self.assertIn("addr=", cli("CLIENT", "LIST"))
        self.assertEqual(cli("CONFIG", "GET", "databases"), "databases\n16\n")
        cli("SLOWLOG", "GET", 10)
        cli("MEMORY", "USAGE", "absent")
        cli("LATENCY", "LATEST")

    def _fill(self, count):
        lines = "".join(f"SET sess:{n} value\n" for n in range(count))
        cli("--pipe", stdin=lines.replace("\n", "\r\n").encode())


class RedisBenchmark(unittest.TestCase):
    def shortDescription(self):
        return f"redis-benchmark: {super().shortDescription()}"

    def test_tests(self):
        """its tests of strings and hashes run, pipelined and not"""
        for depth in ("1", "16"):
            done = subprocess.run(
                ["redis-benchmark", "-h", HOST, "-p", PORT, "-n", "2000", "-c", "10", "-P", depth, "-r", "1000",
                 "-t", "ping,set,get,incr,hset,mset", "--csv"],
                capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL, text=True,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("Error", done.stdout + done.stderr)
            # A header, two kinds of PING, and the five others.
            self.assertEqual(len(done.stdout.strip().splitlines()), 8, done.stdout)


if __name__ == "__main__":
    tap.run(RedisCli, RedisBenchmark)
