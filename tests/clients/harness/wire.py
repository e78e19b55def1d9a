"""RESP at the level of bytes: commands are encoded, replies are kept exactly as they arrive."""

import socket


class Closed(Exception):
    """The peer closed the connection."""


class Silent(OSError):
    """The peer said nothing for longer than the limit: it hangs, or a reply was lost."""


def encode(*words):
    """One command as an array of bulk strings; words may be str, bytes or int."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class Reply:
    """One reply: `raw` bytes as received, `kind` its first byte, `items` of an aggregate."""

    __slots__ = ("raw", "kind", "body", "items")

    def __init__(self, raw, kind, body, items=None):
        self.raw = raw
        self.kind = kind
        self.body = body
        self.items = items

    def __repr__(self):
        return repr(self.raw)

    @property
    def is_error(self):
        return self.kind in (b"-", b"!")

    @property
    def is_nil(self):
        return self.raw in (b"$-1\r\n", b"*-1\r\n", b"_\r\n")

    def text(self):
        """The payload of a line or of a string, as text that any byte survives."""
        return self.body.decode("utf-8", "surrogateescape")


_AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
_STRINGS = (b"$", b"=", b"!")
_LINES = (b"+", b"-", b":", b"_", b",", b"#", b"(")


class Connection:
    """A blocking connection that returns replies one by one."""

    def __init__(self, address, timeout_s=10.0):
        self._socket = socket.create_connection(address, timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def send(self, data):
        try:
            self._socket.sendall(data)
        except TimeoutError as error:
            raise Silent(f"nothing is read within {self._socket.gettimeout()} s") from error
        except OSError as error:
            raise Closed(f"cannot send: {error}") from error

    def call(self, *words):
        """Sends one command and waits for its reply."""
        self.send(encode(*words))
        return self.read()

    def read(self):
        """Reads one complete reply, attributes and pushes included as they come."""
        line = self._read_line()
        kind, rest = line[:1], line[1:-2]
        if kind in _LINES:
            return Reply(line, kind, rest)
        if kind in _STRINGS:
            return self._read_string(line, kind, rest)
        if kind in _AGGREGATES:
            return self._read_aggregate(line, kind, rest)
        raise AssertionError(f"not a RESP type: {line[:80]!r}")

    def read_until_closed(self):
        """Everything that still comes until the peer closes."""
        try:
            while True:
                self._fill()
        except Closed:
            rest, self._buffer = self._buffer, b""
            return rest

    def close(self):
        self._socket.close()

    def shutdown_write(self):
        """Tells the peer that nothing more comes, and leaves the reading side open."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Closed(f"cannot shut down: {error}") from error

    def _read_string(self, line, kind, rest):
        if rest == b"-1":
            return Reply(line, kind, b"")
        data = self._read_exact(int(rest) + 2)
        return Reply(line + data, kind, data[:-2])

    def _read_aggregate(self, line, kind, rest):
        if rest == b"-1":
            return Reply(line, kind, b"", [])
        items = [self.read() for _ in range(int(rest) * _AGGREGATES[kind])]
        return Reply(line + b"".join(item.raw for item in items), kind, rest, items)

    def _read_line(self):
        while b"\r\n" not in self._buffer:
            self._fill()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line + b"\r\n"

    def _read_exact(self, count):
        while len(self._buffer) < count:
            self._fill()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def _fill(self):
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError as error:
            raise Silent(f"no reply within {self._socket.gettimeout()} s") from error
        except OSError as error:
            raise Closed(f"cannot read: {error}") from error
        if not data:
            raise Closed("closed by the peer")
        self._buffer += data
