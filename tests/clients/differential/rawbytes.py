"""Bytes that are not always commands: inline lines, split packets, wrong lengths, endless pipelines.

Each case is a whole connection: bytes sent in random pieces, then everything that the server answers
until it closes or the case ends with QUIT. Both servers must answer the same bytes.
"""

import time
from dataclasses import dataclass

from harness import wire

_PAUSE_S = 0.001


@dataclass(frozen=True)
class Case:
    """What the connection says, part by part, and the pieces in which the bytes go out."""

    parts: tuple
    pieces: tuple


# What a connection says before it is wrong, so that the error must come after right replies.
_GOOD = [
    b"*1\r\n$4\r\nPING\r\n",
    b"PING\r\n",
    b"ping hello\r\n",
    b"\r\n",
    b"  \r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"PING\n",
    b'SET inline "two words"\r\n',
    b"GET inline\r\n",
    b"set inline 'it\\'s'\r\n",
    b'set inline "\\x00\\xff\\n\\t\\\\"\r\n',
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\r\n\r\n",
    b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n",
    b"*2\r\n$4\r\nECHO\r\n$5000\r\n" + b"e" * 5000 + b"\r\n",
    b"HELLO 3\r\n*2\r\n$3\r\nGET\r\n$7\r\nnothing\r\nHELLO 2\r\n",
    b"*1\r\n$7\r\nNOSUCH1\r\n",
    b"+OK\r\n",
    b"GET\r\n",
]

# What a connection is closed for.
_BAD = [
    b"*abc\r\n",
    b"*2147483648\r\n",
    b"*99999999999999999999\r\n",
    b"*2\r\n$abc\r\n",
    b"*1\r\n:5\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$-5\r\n",
    b"*1\r\n$536870913\r\n",
    b"*1\r\n$99999999999999999999\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n+v\r\n",
    b"*1 \r\n",
    b"*1\r\n$4 \r\nPING\r\n",
    b'SET k "unbalanced\r\n',
    b"SET k 'unbalanced\r\n",
    b'SET k "closed"early\r\n',
    b"x" * 70_000,
    b"*" + b"1" * 70_000,
    b"*1\r\n$" + b"1" * 70_000,
]


def make(random):
    """A case: good parts, perhaps a bad one, cut at random places."""
    parts = [random.choice(_GOOD) for _ in range(random.randint(0, 12))]
    if random.random() < 0.1:
        parts += [b"*2\r\n$4\r\nINCR\r\n$4\r\nmany\r\n"] * random.choice([100, 1_000])
    parts.append(random.choice(_BAD) if random.random() < 0.6 else b"QUIT\r\n")
    data = b"".join(parts)
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice([0, 1, 3, 12])))
    edges = [0, *cuts, len(data)]
    pieces = [data[start:end] for start, end in zip(edges, edges[1:]) if start < end]
    return Case(tuple(parts), tuple(pieces))


def smaller(case):
    """Cases with a part less, in one piece, in two, or with each part as a piece."""
    yield Case(case.parts, (b"".join(case.parts),))
    yield Case(case.parts, case.parts)
    for at in range(len(case.parts)):
        parts = case.parts[:at] + case.parts[at + 1 :]
        yield Case(parts, parts)
        yield Case(parts, (b"".join(parts),))
        yield from (Case(parts, cut) for cut in _halves(b"".join(parts)))
    if len(case.pieces) > 2:
        yield from (Case(case.parts, cut) for cut in _halves(b"".join(case.parts)))


def _halves(data):
    """Some ways to send the bytes in two pieces."""
    for at in range(1, min(len(data), 200), max(1, min(len(data), 200) // 24)):
        yield (data[:at], data[at:])


def answer(address, case):
    """Everything the server says to the case on a fresh connection."""
    connection = wire.Connection(address, timeout_s=5.0)
    try:
        for piece in filter(None, case.pieces):
            connection.send(piece)
            if len(case.pieces) > 1:
                time.sleep(_PAUSE_S)
        # Nothing more comes: a server that still waits for the rest of a command closes now.
        connection.shutdown_write()
    except wire.Closed:
        # The server may close as soon as it has seen the mistake.
        pass
    try:
        return _without_greetings(connection.read_until_closed())
    finally:
        connection.close()


def _without_greetings(data):
    """HELLO tells a version and a connection id, each server's own: only the protocol is kept."""
    for start in (b"%7\r\n$6\r\nserver\r\n", b"*14\r\n$6\r\nserver\r\n"):
        while start in data:
            before, _, rest = data.partition(start)
            _, _, after = rest.partition(b"$7\r\nmodules\r\n*0\r\n")
            data = before + b"(greeting " + start[:1] + b")" + after
    return data
