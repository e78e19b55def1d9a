"""go-redis 9.18 with Sentinels, in JuiceFS: it finds a master, and another one when that is killed."""

import os
import time
import unittest

import juicefs
from harness import tap

SENTINELS = os.environ["TENURE_SENTINELS"]
MASTER = os.environ["TENURE_MASTER"]
URL = f"redis://{MASTER},{SENTINELS}/"


def master():
    """Where the master is, as a Sentinel says."""
    host, port = (item.text() for item in juicefs.call(SENTINELS.split(",")[-1], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER).items)
    return f"{host}:{port}"


class WithSentinels(unittest.TestCase):
    def shortDescription(self):
        return f"go-redis 9.18 with Sentinels: {super().shortDescription()}"

    def test_1_master(self):
        """the master is found, and what was written is listed and read"""
        files = juicefs.Folder(small=600)
        with juicefs.Volume("volume", URL) as volume:
            volume.write(files.path)
            self.assertEqual(sorted(juicefs.keys(master(), "volume/chunks/*").values()), files.blocks())
            self.assertIn(f"Found {len(files.blocks())} blocks", volume.check())
            with juicefs.empty_folder() as back:
                volume.read(back)
                self.assertTrue(files.is_same_as(back))
            volume.destroy()
            self.assertEqual(juicefs.keys(master(), "volume/*"), {})
        files.remove()

    def test_2_unknown(self):
        """a name that no Sentinel knows is an error"""
        with self.assertRaisesRegex(juicefs.Failed, "all sentinels specified in configuration are unreachable"):
            juicefs.Volume("unknown", f"redis://nosuch,{SENTINELS}/")

    def test_3_killed(self):
        """the master is killed while files are written: another is found, and none is refused or lost"""
        with juicefs.Volume("survivor", URL) as volume, juicefs.Web(volume) as web:
            with juicefs.Writers(web) as writers:
                writers.go_on(200)
                before = master()
                killed_at = time.monotonic()
                juicefs.kill(before.rpartition(":")[2])
                writers.go_on(400)
            self.assertNotEqual(master(), before)
            self.assertEqual(writers.errors, [])
            self.assertEqual(writers.lost(killed_at), [])


if __name__ == "__main__":
    tap.run(WithSentinels)
