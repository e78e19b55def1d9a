"""redis-py 8 with Sentinels: it finds a master, and another one when that dies."""

import json
import os
import signal
import time
import unittest

from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError, ResponseError, TimeoutError as TooLate
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

import address  # noqa: F401
from harness import tap

NODES = json.loads(os.environ["TENURE_NODES"])
SENTINELS = [tuple(at.rsplit(":", 1)) for at in os.environ["TENURE_SENTINELS"].split(",")]
MASTER = os.environ["TENURE_MASTER"]
PATIENCE_S = 20


class WithSentinels(unittest.TestCase):
    def setUp(self):
        self.sentinel = Sentinel(SENTINELS, socket_timeout=1)

    def shortDescription(self):
        return f"redis-py 8 with Sentinels: {super().shortDescription()}"

    def test_1_master(self):
        """all Sentinels name one master, and it serves every key"""
        named = {str(Sentinel([at]).discover_master(MASTER)) for at in SENTINELS}
        self.assertEqual(len(named), 1)
        master = self.sentinel.master_for(MASTER)
        for number in range(200):
            master.set(f"k:{number}", number)
        self.assertEqual(master.mget([f"k:{n}" for n in range(200)]), [b"%d" % n for n in range(200)])
        self.assertEqual(master.role()[0], b"master")

    def test_2_questions(self):
        """the questions of tools are answered"""
        client = self.sentinel.sentinels[0]
        self.assertEqual(client.sentinel_master(MASTER)["name"], MASTER)
        self.assertIn(MASTER, client.sentinel_masters())
        self.assertEqual(len(client.sentinel_sentinels(MASTER)), len(SENTINELS) - 1)
        client.sentinel_ckquorum(MASTER)  # That it cannot be reached would be an exception.
        with self.assertRaises(MasterNotFoundError):
            self.sentinel.discover_master("nosuch")

    def test_3_replica(self):
        """who prefers a replica reads all the same"""
        self.sentinel.master_for(MASTER).set("r", 1)
        time.sleep(0.2)  # Redis replicates after it has acknowledged.
        self.assertEqual(self.sentinel.slave_for(MASTER).get("r"), b"1")

    def test_4_switch(self):
        """when the master is killed, who has subscribed is told, and the client follows"""
        host, port = self.sentinel.discover_master(MASTER)
        listener = self.sentinel.sentinels[-1].pubsub()
        listener.subscribe("+switch-master")
        self.assertEqual(listener.get_message(timeout=5)["type"], "subscribe")
        master = self.sentinel.master_for(MASTER, retry=Retry(ConstantBackoff(0.05), 3), socket_timeout=2)
        master.set("foo", "before")
        time.sleep(0.2)  # As above.
        pid = next(node["pid"] for node in NODES if node["address"].endswith(f":{port}"))
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(self.eventually(lambda: master.set("foo", "after")))
        self.assertEqual(master.get("foo"), b"after")
        self.assertNotEqual(self.sentinel.discover_master(MASTER), (host, port))
        told = listener.get_message(timeout=PATIENCE_S)["data"].decode().split(" ")
        self.assertEqual(told[:3], [MASTER, host, str(port)])

    @staticmethod
    def eventually(work):
        """Tries until it works: the switch takes as long as it takes."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return work()
            except (NoConnection, TooLate, ReadOnlyError, ResponseError, MasterNotFoundError):
                if time.monotonic() > deadline:
                    raise


if __name__ == "__main__":
    tap.run(WithSentinels)
