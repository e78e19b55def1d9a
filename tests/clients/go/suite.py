"""go-redis 9.18 at one server, in JuiceFS: its handshake over both protocols, values of all sizes, pipelines, scans, dead connections."""

import os
import re
import unittest

import juicefs
from harness import tap

AT = os.environ["TENURE_ADDR"]
# What a storage of objects in Redis does not have; and the large object is of 256 MiB, longer than any value of Tenure.
_LACKS = {"multipart upload", "change owner/group", "change permission", "change mtime"}
_LACKS |= {"put a big object"} if juicefs.IS_TENURE else set()
# One server for all keys of a cluster: what it says of a connection is of its own ones, to its node.
IS_FORWARDED = juicefs.IS_TENURE and bool(juicefs.NODES)


class Contract:
    """What holds for either protocol; the subclasses say which."""

    label = ""
    protocol = 3
    database = 0
    options = ""

    @classmethod
    def setUpClass(cls):
        juicefs.call(AT, "FLUSHALL")
        cls.files = juicefs.Folder(small=2_500)
        cls.name = f"volume{cls.database}"
        cls.volume = juicefs.Volume(cls.name, cls.url())
        cls.volume.write(cls.files.path)

    @classmethod
    def tearDownClass(cls):
        cls.volume.__exit__()
        cls.files.remove()

    @classmethod
    def url(cls, more=""):
        return f"redis://{AT}/{cls.database}?client_name=suite{cls.options}{more}"

    def shortDescription(self):
        return f"go-redis 9.18 {self.label}: {super().shortDescription()}"

    def stored(self):
        return juicefs.keys(AT, f"{self.name}/chunks/*", self.database)

    def test_1_written(self):
        """what was written is on the server, byte for byte, in the database that was asked for"""
        self.assertEqual(sorted(self.stored().values()), self.files.blocks())
        other = juicefs.keys(AT, f"{self.name}/*", 0 if self.database else 1)
        self.assertEqual(other, {})

    def test_2_listed(self):
        """a scan and pipelines of STRLEN see every block and its size"""
        output = self.volume.check()
        blocks = self.files.blocks()
        size = sum(file.stat().st_size for file in self.files.path.rglob("*") if file.is_file())
        self.assertIn(f"Found {len(blocks)} blocks ({size} bytes)", output)

    def test_3_read(self):
        """what is read by another process is what was written"""
        with juicefs.empty_folder() as back:
            self.volume.read(back)
            self.assertTrue(self.files.is_same_as(back))

    def test_4_missing(self):
        """a block that is gone from the server is missed"""
        with juicefs.Volume(f"{self.name}damaged", self.url()) as volume:
            with juicefs.empty_folder() as folder:
                (folder / "file").write_bytes(b"x" * 100)
                volume.write(folder)
            (key,) = juicefs.keys(AT, f"{volume.name}/chunks/*", self.database)
            with juicefs.wire_of(AT, self.database) as connection:
                connection.call("DEL", key)
            with self.assertRaisesRegex(juicefs.Failed, "1 objects are lost"):
                volume.check()

    def test_5_bench(self):
        """the program's own tests of a storage pass: partial reads, special keys, empty and large objects, four at a time"""
        output = juicefs.run(
            "objbench", "--storage", "redis", "--block-size", "1M", "--big-object-size", "16M", "--small-objects", 200,
            # 256 MiB in one piece take their time on a busy machine.
            self.url("&read_timeout=60s&write_timeout=60s"),
        )  # fmt: skip
        results = dict(re.findall(r"^\|\s+(?:basic|sync) \|\s+(.*?) \|\s+(.*?) \|$", output, re.MULTILINE))
        self.assertEqual({test for test, result in results.items() if result != "pass"}, _LACKS, output)
        self.assertEqual(len(results), 16, output)
        self.assertNotIn("failed", output)
        self.assertNotIn("ERROR", output)

    def test_6_connection(self):
        """a connection that lives has name, library, database and protocol, and when it is killed another is made"""
        with juicefs.Web(self.volume) as web:
            web.put("file", b"first")
            self.assertEqual(web.get("file"), b"first")
            before = self.connections()
            self.assertTrue(before)
            for client in before.values():
                self.assertEqual((client["name"], client["db"], client["resp"]), ("suite", str(self.database), str(self.protocol)))
                # Redis 7.0 does not know CLIENT SETINFO yet, and go-redis does not mind.
                if juicefs.IS_TENURE:
                    self.assertRegex(client["lib-name"], r"^go-redis\(,?go1\.")
                    self.assertEqual(client["lib-ver"], "9.18.0")
            for number in before:
                self.assertEqual(juicefs.call(AT, "CLIENT", "KILL", "ID", number).raw, b":1\r\n")
            self.assertEqual(web.get("file"), b"first")
            web.put("file", b"second")
            self.assertEqual(web.get("file"), b"second")
            self.assertTrue(self.connections() or IS_FORWARDED)
            self.assertFalse(before.keys() & self.connections().keys())

    def test_7_refused(self):
        """a user whom nobody knows is refused"""
        url = self.url().replace("redis://", "redis://nobody:wrong@")
        with self.assertRaisesRegex(juicefs.Failed, "WRONGPASS"):
            juicefs.Volume(f"{self.name}refused", url)

    def test_8_deleted(self):
        """what is deleted is gone"""
        self.assertTrue(self.stored())
        self.volume.destroy()
        self.assertEqual(juicefs.keys(AT, f"{self.name}/*", self.database), {})

    @staticmethod
    def connections():
        """What the server says of the connections with the suite's name, by id."""
        lines = juicefs.call(AT, "CLIENT", "LIST").text().splitlines()
        clients = [dict(word.partition("=")[::2] for word in line.split(" ")) for line in lines]
        return {client["id"]: client for client in clients if client["name"] == "suite"}


class AsItComes(Contract, unittest.TestCase):
    label = "as it comes"


class Resp2(Contract, unittest.TestCase):
    label = "over RESP2"
    protocol = 2
    database = 3
    options = "&protocol=2"


if __name__ == "__main__":
    tap.run(AsItComes, Resp2)
