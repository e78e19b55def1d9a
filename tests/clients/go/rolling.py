"""go-redis 9.18, in JuiceFS, while every node of a cluster is restarted: no request may fail, not even one that JuiceFS then makes again."""

import sys
import unittest
from pathlib import Path

import juicefs
from harness import tap

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
import upkeep  # noqa: E402

ALL = ",".join(node["address"] for node in juicefs.NODES)
FORWARD = juicefs.NODES[0]["forward"]


class UnderUpkeep(unittest.TestCase):
    def shortDescription(self):
        return f"go-redis 9.18: {super().shortDescription()}"

    def all_restarted(self, name, url, what):
        with juicefs.Volume(name, url) as volume, juicefs.Web(volume) as web:
            with juicefs.Writers(web) as writers:
                writers.go_on(200)
                for node in range(1, len(juicefs.NODES) + 1):
                    upkeep.ask(f"restart {node}")
                    writers.go_on(100)
            print(f"| go-redis 9.18, {what}, all nodes restarted: {writers.report()}, {web.failed()} requests failed", flush=True)
            self.assertEqual(writers.errors, [])
            self.assertEqual(web.failed(), 0, web.log())
            self.assertEqual(writers.lost(), [])

    def test_1_cluster(self):
        """in cluster mode, with the retries that go-redis comes with, all nodes restarted one after the other"""
        # JuiceFS turns them off where an address does not say how many; then a request fails that meets a connection that just ends.
        self.all_restarted("clustered", f"redis://{ALL}/?max_retries=3", "cluster")

    def test_2_forwarded(self):
        """at a forwarding port with maintenance notifications and without retries, all nodes restarted one after the other"""
        self.all_restarted("told", f"redis://{FORWARD}/", "forwarding port")

    def test_3_forwarded_resp2(self):
        """at a forwarding port over RESP2, with the retries that go-redis comes with, all nodes restarted one after the other"""
        self.all_restarted("untold", f"redis://{FORWARD}/?protocol=2&max_retries=3", "forwarding port, RESP2")


if __name__ == "__main__":
    tap.run(UnderUpkeep)
