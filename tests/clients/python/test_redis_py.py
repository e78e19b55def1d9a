"""redis-py 8, blocking and asyncio: its handshakes in both protocols, and the replies it must read."""

import asyncio
import unittest

import redis
import redis.asyncio

from address import HOST, PORT
from harness import tap

EVERY_BYTE = bytes(range(256))


class Contract:
    """What holds for either protocol; the subclasses say which."""

    protocol = None
    label = ""

    @classmethod
    def setUpClass(cls):
        cls.client = redis.Redis(HOST, PORT, protocol=cls.protocol, client_name="suite")
        cls.client.flushall()

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def shortDescription(self):
        return f"redis-py 8 {self.label}: {super().shortDescription()}"

    def test_handshake(self):
        """the handshake leaves a connection with its name set"""
        self.assertTrue(self.client.ping())
        self.assertIn(self.client.client_getname(), ("suite", b"suite"))

    def test_bytes(self):
        """every byte comes back"""
        self.client.set("bytes", EVERY_BYTE)
        self.assertEqual(self.client.get("bytes"), EVERY_BYTE)

    def test_lifetimes(self):
        """SET options and every form of lifetime"""
        self.assertTrue(self.client.set("k", "v", px=90_000, nx=True))
        self.assertIsNone(self.client.set("k", "v", nx=True))
        self.assertGreater(self.client.pttl("k"), 80_000)
        self.assertEqual(self.client.getex("k", persist=True), b"v")
        self.assertEqual(self.client.ttl("k"), -1)
        self.assertTrue(self.client.expire("k", 100, nx=True))
        self.assertFalse(self.client.expire("k", 50, gt=True))
        self.assertEqual(self.client.getdel("k"), b"v")
        self.assertEqual(self.client.ttl("k"), -2)

    def test_hashes(self):
        """hashes are dictionaries, scans end"""
        fields = {f"f{n}".encode(): f"v{n}".encode() for n in range(300)}
        self.assertEqual(self.client.hset("hash", mapping=fields), 300)
        self.assertEqual(self.client.hgetall("hash"), fields)
        self.assertEqual(dict(self.client.hscan_iter("hash", count=10)), fields)
        self.assertEqual(self.client.hincrbyfloat("hash", "x", 1.5), 1.5)
        self.assertEqual(len(self.client.hrandfield("hash", 5)), 5)

    def test_pipeline(self):
        """a pipeline without a transaction answers in order, errors in their places"""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.set("p", 1).incr("p").hget("p", "f").mget("p", "absent")
        one, two, wrong, many = pipeline.execute(raise_on_error=False)
        self.assertEqual((one, two, many), (True, 2, [b"2", None]))
        self.assertRegex(str(wrong), "WRONGTYPE|wrong kind of value")

    def test_scan(self):
        """a scan sees every key"""
        self.client.mset({f"scan:{n}": n for n in range(1_000)})
        self.assertEqual(len(set(self.client.scan_iter("scan:*", count=50))), 1_000)

    def test_errors(self):
        """errors are exceptions and the connection goes on"""
        self.client.set("word", "x")
        with self.assertRaisesRegex(redis.ResponseError, "not an integer"):
            self.client.incr("word")
        with self.assertRaisesRegex(redis.ResponseError, "(?i)unknown command"):
            self.client.execute_command("NOSUCHCOMMAND")
        self.assertTrue(self.client.ping())

    def test_databases(self):
        """a client of another database is apart"""
        self.client.set("where", "zero")
        other = redis.Redis(HOST, PORT, db=7, protocol=self.protocol)
        self.assertIsNone(other.get("where"))
        other.close()

    def test_introspection(self):
        """INFO, CONFIG, COMMAND and CLIENT LIST are read into dictionaries"""
        self.assertIn("redis_version", self.client.info("server"))
        self.assertEqual(self.client.config_get("databases").get("databases"), "16")
        self.assertIn("get", {name.lower() for name in self.client.command()})
        self.assertIn("suite", {entry["name"] for entry in self.client.client_list()})
        self.assertEqual(self.client.dbsize(), len(self.client.keys("*")))

    def test_asyncio(self):
        """the asyncio client does the same"""
        asyncio.run(self._asyncio_round())

    async def _asyncio_round(self):
        async with redis.asyncio.Redis(host=HOST, port=PORT, protocol=self.protocol) as client:
            await asyncio.gather(*(client.set(f"async:{n}", n) for n in range(50)))
            values = await asyncio.gather(*(client.get(f"async:{n}") for n in range(50)))
            self.assertEqual(values, [str(n).encode() for n in range(50)])


class AsInstalled(Contract, unittest.TestCase):
    label = "as installed"


class Resp3(Contract, unittest.TestCase):
    label = "over RESP3"
    protocol = 3


class Resp2(Contract, unittest.TestCase):
    label = "over RESP2"
    protocol = 2


if __name__ == "__main__":
    tap.run(AsInstalled, Resp3, Resp2)
