"""redis-py 8, as it comes, while every node of a cluster is restarted, and one drained: the application must see no error."""

import json
import os
import unittest

from redis import Redis
from redis.cluster import ClusterNode, RedisCluster

import address  # noqa: F401
import upkeep
from harness import tap

NODES = json.loads(os.environ["TENURE_NODES"])


def split(at):
    host, port = at.rsplit(":", 1)
    return host, int(port)


class Clients:
    """Clients that are tried; each begins with the first node."""

    @staticmethod
    def cluster():
        return RedisCluster(startup_nodes=[ClusterNode(*split(node["address"])) for node in NODES])

    @staticmethod
    def forwarded():
        host, port = split(NODES[0]["forward"])
        return Redis(host, port)

    @staticmethod
    def forwarded_resp2():
        host, port = split(NODES[0]["forward"])
        return Redis(host, port, protocol=2)


class UnderUpkeep(unittest.TestCase):
    def shortDescription(self):
        return f"redis-py 8: {super().shortDescription()}"

    def all_restarted(self, client, what):
        with upkeep.Load(client, what) as load:
            for node in range(1, len(NODES) + 1):
                upkeep.ask(f"restart {node}")
        load.report(f"redis-py 8, {what}, all nodes restarted")
        client.close()
        self.assertEqual(load.errors[:10], [])
        self.assertGreater(load.requests, 1_000)

    def test_1_cluster(self):
        """in cluster mode, all nodes restarted one after the other"""
        self.all_restarted(Clients.cluster(), "cluster")

    def test_2_forwarded(self):
        """at a forwarding port with maintenance notifications, all nodes restarted one after the other"""
        self.all_restarted(Clients.forwarded(), "forwarding port")

    def test_3_forwarded_resp2(self):
        """at a forwarding port over RESP2, without notifications, all nodes restarted one after the other"""
        self.all_restarted(Clients.forwarded_resp2(), "forwarding port, RESP2")

    def test_4_drained(self):
        """in cluster mode and at a forwarding port, a node added, another drained and stopped"""
        clients = {"cluster": Clients.cluster(), "forwarding port": Clients.forwarded()}
        loads = {what: upkeep.Load(client, f"drain {what}") for what, client in clients.items()}
        with loads["cluster"], loads["forwarding port"]:
            for work in ("start 4", "drain 1", "stop 1"):
                upkeep.ask(work)
        for what, load in loads.items():
            load.report(f"redis-py 8, {what}, a node drained and stopped")
            clients[what].close()
            self.assertEqual(load.errors[:10], [])


if __name__ == "__main__":
    tap.run(UnderUpkeep)
