"""redis-py 8 as a client of a cluster: what it asks for, how it follows, what it does when a node dies."""

import json
import os
import signal
import time
import unittest

from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from address import HOST, PORT
from harness import tap

NODES = json.loads(os.environ["TENURE_NODES"])


class Contract:
    """What holds for either protocol; the subclasses say which."""

    protocol = None
    label = ""

    @classmethod
    def setUpClass(cls):
        cls.client = RedisCluster(HOST, PORT, protocol=cls.protocol)
        cls.client.flushall(target_nodes=RedisCluster.PRIMARIES)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def shortDescription(self):
        return f"redis-py 8 cluster {self.label}: {super().shortDescription()}"

    def test_1_map(self):
        """the map is whole and spread over three nodes"""
        primaries = self.client.get_primaries()
        self.assertEqual(len(primaries), 3)
        self.assertEqual(len(self.client.nodes_manager.slots_cache), 16_384)
        self.assertEqual(self.client.keyslot("foo"), 12_182)

    def test_2_keys(self):
        """keys of all slots are found where they are"""
        for number in range(500):
            self.client.set(f"k:{number}", number)
        self.assertEqual([self.client.get(f"k:{n}") for n in range(500)], [b"%d" % n for n in range(500)])
        self.assertEqual(self.client.dbsize(target_nodes=RedisCluster.PRIMARIES), 500)
        self.assertEqual(len(set(self.client.scan_iter("k:*", count=50))), 500)
        self.assertEqual(self.client.mget_nonatomic("k:1", "k:2", "k:3"), [b"1", b"2", b"3"])
        self.assertEqual(self.client.delete("k:1", "k:2", "k:3"), 3)

    def test_3_one_slot(self):
        """keys of one slot may stand in one command, others may not"""
        self.client.mset({"{t}a": 1, "{t}b": 2})
        self.assertEqual(self.client.mget("{t}a", "{t}b"), [b"1", b"2"])
        with self.assertRaises(RedisClusterException):
            self.client.mget("a", "b")

    def test_4_pipeline(self):
        """a pipeline is spread over the nodes and answered in order"""
        pipeline = self.client.pipeline()
        for number in range(100):
            pipeline.set(f"p:{number}", number).incr(f"p:{number}")
        replies = pipeline.execute()
        self.assertEqual(replies[1::2], list(range(1, 101)))

    def test_5_questions(self):
        """the questions of tools are answered"""
        self.assertEqual(self.client.cluster_info(target_nodes=RedisCluster.RANDOM)["cluster_state"], "ok")
        nodes = self.client.cluster_nodes()
        self.assertEqual(sum("master" in node["flags"] for node in nodes.values()), 3)
        self.assertEqual(self.client.cluster_keyslot("foo"), 12_182)
        slot = self.client.keyslot("{t}a")
        self.assertEqual(self.client.cluster_countkeysinslot(slot), 2)
        self.assertEqual(len(self.client.cluster_shards()) >= 3, True)

    def test_6_readers(self):
        """a client that would read from replicas reads the latest all the same, or what it is sent on to"""
        reader = RedisCluster(HOST, PORT, protocol=self.protocol, read_from_replicas=True)
        self.client.set("{t}a", "now")
        for _ in range(20):
            self.assertIn(reader.get("{t}a"), (b"now", b"1"))
        reader.close()


class Resp2(Contract, unittest.TestCase):
    protocol, label = 2, "over RESP2"


class Resp3(Contract, unittest.TestCase):
    protocol, label = 3, "over RESP3"


class Failover(unittest.TestCase):
    """Last, as it costs a node."""

    def test_failover(self):
        """redis-py 8 cluster: when a primary is killed, the client finds its successor"""
        startup = [ClusterNode(*node["address"].split(":")) for node in NODES]
        client = RedisCluster(startup_nodes=startup, socket_timeout=2)
        client.set("foo", "before")
        time.sleep(0.2)  # Redis replicates after it has acknowledged.
        owner = client.get_node_from_key("foo")
        pid = next(node["pid"] for node in NODES if node["address"].endswith(f":{owner.port}"))
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.eventually(lambda: client.get("foo")), b"before")
        self.assertTrue(self.eventually(lambda: client.set("foo", "after")))
        self.assertEqual(client.get("foo"), b"after")
        self.assertNotEqual(client.get_node_from_key("foo").port, owner.port)

    @staticmethod
    def eventually(work):
        """Tries until it works: the client gives up before Redis has elected a successor."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return work()
            except RedisError:
                if time.monotonic() > deadline:
                    raise


if __name__ == "__main__":
    tap.run(Resp2, Resp3, Failover)
