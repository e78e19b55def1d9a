"""Planted bugs: a proxy in front of a right server that makes it wrong in one small way.

A tester that has never caught one proves nothing, so each of these is shown to be caught.
"""

import select
import socket
import threading


class Bug:
    """What it spoils, in replies or in requests, and how."""

    def __init__(self, name, on_reply=None, on_request=None):
        self.name = name
        self.on_reply = on_reply or (lambda data: data)
        self.on_request = on_request or (lambda data: data)


def _replacing(old, new, after=0):
    """Replaces `old` once, when it has been seen `after` times before."""
    state = {"seen": 0, "done": False}

    def change(data):
        if state["done"] or old not in data:
            return data
        state["seen"] += 1
        if state["seen"] <= after:
            return data
        state["done"] = True
        return data.replace(old, new, 1)

    return change


def _always(old, new):
    return lambda data: data.replace(old, new)


# Those that change once change one byte of one reply; the others are bugs as servers have them.
BUGS = {
    "one integer, once": lambda: Bug("", on_reply=_replacing(b":1\r\n", b":0\r\n", after=20)),
    "one letter of an error, once": lambda: Bug("", on_reply=_replacing(b"-ERR value", b"-ERR valuf", after=2)),
    "one byte of a value, once": lambda: Bug("", on_reply=_replacing(b"\r\nhello world\r\n", b"\r\nhello_world\r\n")),
    "nil becomes an empty string": lambda: Bug("", on_reply=_always(b"$-1\r\n", b"$0\r\n\r\n")),
    "RESP3 nil is the one of RESP2": lambda: Bug("", on_reply=_always(b"_\r\n", b"$-1\r\n")),
    "wrong type has another code": lambda: Bug("", on_reply=_always(b"-WRONGTYPE", b"-ERR")),
    "PERSIST does nothing": lambda: Bug("", on_request=_always(b"$7\r\nPERSIST\r\n", b"$7\r\nPEXISTS\r\n")),
    "KEEPTTL is taken for GET": lambda: Bug("", on_request=_always(b"$7\r\nKEEPTTL\r\n", b"$3\r\nGET\r\n")),
    "EXPIRE counts in ms": lambda: Bug("", on_request=_always(b"$6\r\nEXPIRE\r\n", b"$7\r\nPEXPIRE\r\n")),
    "HSCAN misses a field": lambda: Bug("", on_request=_always(b"$5\r\nCOUNT\r\n", b"$5\r\nMATCH\r\n")),
    "a protocol error has other words": lambda: Bug("", on_reply=_always(b"invalid bulk length", b"invalid bulk  length")),
    "the connection stays open after QUIT": lambda: Bug("", on_request=_always(b"QUIT\r\n", b"PING\r\n")),
}  # fmt: skip


class Proxy:
    """Passes bytes to and from `target` through a bug; use with `with`."""

    def __init__(self, target, bug):
        self._target = target
        self._bug = bug
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self._closing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_exception):
        self._closing = True
        # Waking the accept loop is simpler than polling it.
        socket.create_connection(self.address).close()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            if self._closing:
                client.close()
                return
            thread = threading.Thread(target=self._pass, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pass(self, client):
        with client, socket.create_connection(self._target) as server:
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._pass_until_closed(client, server)
            except OSError:
                # Either end is gone; the other is closed with it.
                return

    def _pass_until_closed(self, client, server):
        """A client that has said all it will may still read; a server that closes ends it."""
        sources = [client, server]
        while not self._closing:
            for source in select.select(sources, [], [], 1.0)[0]:
                data = source.recv(1 << 20)
                if source is server and not data:
                    return
                if source is server:
                    client.sendall(self._bug.on_reply(data))
                elif data:
                    server.sendall(self._bug.on_request(data))
                else:
                    sources.remove(client)
                    server.shutdown(socket.SHUT_WR)
