"""go-redis 9.18 as a client of a cluster, in JuiceFS: keys of all slots, pipelines and scans over the nodes, and a primary that is killed."""

import os
import re
import time
import unittest

import juicefs
from harness import tap

AT = os.environ["TENURE_ADDR"]
ALL = ",".join(node["address"] for node in juicefs.NODES)


def stored(name):
    """The blocks of a volume, node by node."""
    return {node: juicefs.keys(node, f"{name}/chunks/*") for node in juicefs.primaries()}


class Contract:
    """What holds for either protocol; the subclasses say which."""

    label = ""
    url = ""
    name = ""

    @classmethod
    def setUpClass(cls):
        for node in juicefs.primaries():
            juicefs.call(node, "FLUSHALL")
        cls.files = juicefs.Folder(small=1_500)
        cls.volume = juicefs.Volume(cls.name, cls.url)
        cls.volume.write(cls.files.path)

    @classmethod
    def tearDownClass(cls):
        cls.volume.__exit__()
        cls.files.remove()

    def shortDescription(self):
        return f"go-redis 9.18 cluster {self.label}: {super().shortDescription()}"

    def test_1_spread(self):
        """what was written is spread over three nodes, byte for byte"""
        nodes = stored(self.name)
        self.assertEqual(len(nodes), 3)
        for node, blocks in nodes.items():
            self.assertGreater(len(blocks), 300, node)
        self.assertEqual(sorted(value for blocks in nodes.values() for value in blocks.values()), self.files.blocks())

    def test_2_listed(self):
        """pipelines of STRLEN over the nodes are answered in order"""
        # JuiceFS begins the scan of a node where that of the node before has ended, so it lists a part of the blocks only: on Redis
        # when a node has more than a page of them, on Tenure always. It asks for what it misses by itself.
        with juicefs.Volume(f"{self.name}even", self.url) as volume:
            with juicefs.empty_folder() as folder:
                for number in range(900):
                    (folder / str(number)).write_bytes(b"x" * 1_000)
                volume.write(folder)
            found, size = map(int, re.search(r"Found (\d+) blocks \((\d+) bytes\)", volume.check()).groups())
        self.assertGreater(found, 0 if juicefs.IS_TENURE else 899)
        self.assertEqual(size, found * 1_000)

    def test_3_read(self):
        """what is read by another process is what was written"""
        with juicefs.empty_folder() as back:
            self.volume.read(back)
            self.assertTrue(self.files.is_same_as(back))


class AsItComes(Contract, unittest.TestCase):
    label = "as it comes, told of one node"
    # The program asks this node whether it is one of a cluster.
    url = f"redis://{AT}/?client_name=suite"
    name = "volume3"


class Resp2(Contract, unittest.TestCase):
    label = "over RESP2, told of all nodes"
    url = f"redis://{ALL}/?protocol=2"
    name = "volume2"


class Failover(unittest.TestCase):
    """Last, as it costs a node."""

    def test_failover(self):
        """go-redis 9.18 cluster: a primary is killed while files are written, and none is refused or lost"""
        with juicefs.Volume("survivor", f"redis://{ALL}/") as volume, juicefs.Web(volume) as web:
            with juicefs.Writers(web) as writers:
                writers.go_on(200)
                killed_at = time.monotonic()
                juicefs.kill(juicefs.primaries()[0].rpartition(":")[2])
                writers.go_on(400)
            self.assertEqual(writers.errors, [])
            self.assertEqual(writers.lost(killed_at), [])


if __name__ == "__main__":
    tap.run(AsItComes, Resp2, Failover)
