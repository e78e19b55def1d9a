"""When are two replies the same: byte for byte, but for what two right servers may answer differently.

An error is always compared byte for byte. So is every reply without a rule below. What differs on purpose
is in `divergence.py`.
"""

from decimal import Decimal, InvalidOperation

import divergence

TOLERANCE = {b"TTL": 2, b"EXPIRETIME": 2, b"PTTL": 2_000, b"PEXPIRETIME": 2_000}
# A whole encoding class for each name, as how a value is kept is a server's own business.
_ENCODINGS = {b"int": b"string", b"embstr": b"string", b"raw": b"string", b"listpack": b"hash", b"hashtable": b"hash"}
_SETTINGS = (b"databases", b"timeout", b"replica-read-only", b"slave-read-only")


def differ(words, one, other):
    """None when the replies to the command agree, else a sentence."""
    if one.raw == other.raw or divergence.meant(words, one, other):
        return None
    if one.is_error or other.is_error:
        return "different bytes"
    rule = _rule(words)
    if rule is None:
        return "different bytes"
    return rule(words, one, other)


def _rule(words):
    name = words[0].upper()
    if len(words) > 1:
        rule = RULES.get((name, words[1].upper()))
        if rule:
            return rule
    return RULES.get(name)


def _same_kind(_words, one, other):
    return None if one.kind == other.kind else "different types"


def _same_shape(_words, one, other):
    """The same type, and as many items of the same types."""
    if one.kind != other.kind or one.is_nil != other.is_nil:
        return "different types"
    if (one.items is None) != (other.items is None):
        return "different types"
    if one.items is not None and [item.kind for item in one.items] != [item.kind for item in other.items]:
        return "different types of items"
    return None


def _near(words, one, other):
    if one.kind != b":" or other.kind != b":":
        return "different types"
    name = words[0].upper()
    a, b = divergence.capped(name, int(one.body)), int(other.body)
    if a > 0 and b > 0 and abs(a - b) <= TOLERANCE[name]:
        return None
    return f"{a} and {b} are too far apart"


def _unordered(_words, one, other):
    if one.kind != other.kind or one.items is None or other.items is None:
        return "different types"
    same = sorted(item.raw for item in one.items) == sorted(item.raw for item in other.items)
    return None if same else "different items"


def pairs(reply):
    """The pairs of a map, or of the flat array that stands for one in RESP2."""
    if reply.items and reply.kind == b"*" and reply.items[0].kind == b"*":
        return [(item.items[0].raw, item.items[1].raw) for item in reply.items]
    return [(key.raw, value.raw) for key, value in zip(reply.items[::2], reply.items[1::2])]


def _unordered_pairs(_words, one, other):
    if one.kind != other.kind or one.items is None or other.items is None:
        return "different types"
    return None if sorted(pairs(one)) == sorted(pairs(other)) else "different pairs"


def _random_fields(words, one, other):
    """HRANDFIELD: as many of them; which ones is chance, unless it is all of them."""
    problem = _same_shape(words, one, other)
    if problem or one.items is None:
        return problem
    count = int(words[2])
    flat_pairs = len(words) > 3 and one.kind == b"*" and (not one.items or one.items[0].kind != b"*")
    fields = len(one.items) // 2 if flat_pairs else len(one.items)
    if 0 <= fields < count:
        # Fewer than asked for: so each server gave all that it has.
        return _unordered_pairs(words, one, other) if len(words) > 3 else _unordered(words, one, other)
    return None


def _encoding(_words, one, other):
    a, b = (_ENCODINGS.get(reply.body, reply.body) for reply in (one, other))
    return None if one.kind == other.kind and a == b else "different kinds of encoding"


def _greeting(_words, one, other):
    """HELLO: the same keys in the same order; version and connection id are each server's own."""
    if one.kind != other.kind:
        return "different types"
    named = [dict(zip((k.body for k in reply.items[::2]), (v.raw for v in reply.items[1::2]))) for reply in (one, other)]
    if list(named[0]) != list(named[1]):
        return "different keys"
    free = (b"server", b"version", b"id")
    changed = [key for key in named[0] if key not in free and named[0][key] != named[1][key]]
    return f"different {changed}" if changed else None


def _settings(_words, one, other):
    """CONFIG GET: the same shape, and the same values where clients read them."""
    if one.kind != other.kind:
        return "different types"
    a, b = (dict(pairs(reply)) for reply in (one, other))
    keys = [b"$%d\r\n%s\r\n" % (len(name), name) for name in _SETTINGS]
    return None if all(a.get(key) == b.get(key) for key in keys) else "different settings"


def _command_info(_words, one, other):
    """COMMAND INFO: name, arity, flags and positions of keys; categories, hints and the rest are free."""
    if one.kind != other.kind or len(one.items) != len(other.items):
        return "different types"
    for a, b in zip(one.items, other.items):
        if a.is_nil != b.is_nil:
            return "known to one only"
        if not a.is_nil and _signature(a) != _signature(b):
            return f"{_signature(a)} is not {_signature(b)}"
    return None


def _signature(entry):
    name, arity, flags, first, last, step = entry.items[:6]
    shown = sorted(flag.body for flag in flags.items if flag.body in (b"write", b"readonly", b"denyoom", b"movablekeys"))
    return [len(entry.items), name.raw, arity.raw, shown, first.raw, last.raw, step.raw]


def nearly_equal(one, other):
    """Two floats that agree in all the digits that 64 bits of mantissa hold, or as many as Tenure keeps."""
    try:
        a, b = Decimal(one.text()), Decimal(other.text())
    except InvalidOperation:
        return False
    return one.kind == other.kind and abs(a - b) <= max(abs(a), abs(b)) * Decimal(2) ** -divergence.bits_of_sum(a)


def _page(_words, one, other):
    """One page of a scan: a cursor and an array; what is on the page is each server's own."""
    shapes = [[item.kind for item in reply.items or []] for reply in (one, other)]
    return None if shapes[0] == shapes[1] == [b"$", b"*"] else "not a cursor and an array"


def walked(one, other):
    """Two walks of a scan: the same items, in whatever order and however often."""
    return None if set(one) == set(other) else f"only one of them found {sorted(set(one) ^ set(other))[:5]}"


RULES = {
    **{name: _near for name in TOLERANCE},
    **{name: _unordered for name in (b"KEYS", b"HKEYS", b"HVALS")},
    b"HGETALL": _unordered_pairs,
    b"HRANDFIELD": _random_fields,
    b"HELLO": _greeting,
    b"TIME": _same_shape,
    b"RANDOMKEY": _same_shape,
    b"SCAN": _page,
    b"HSCAN": _page,
    b"INFO": _same_kind,
    b"COMMAND": _same_kind,
    # Keys that have expired may be counted for a moment; the stores are compared in the end.
    b"DBSIZE": _same_kind,
    (b"CLIENT", b"ID"): _same_kind,
    (b"CLIENT", b"INFO"): _same_kind,
    (b"CLIENT", b"LIST"): _same_kind,
    (b"CLIENT", b"HELP"): _same_kind,
    (b"COMMAND", b"INFO"): _command_info,
    (b"CONFIG", b"GET"): _settings,
    (b"LATENCY", b"LATEST"): _same_kind,
    (b"LATENCY", b"HISTOGRAM"): _same_kind,
    (b"LATENCY", b"HISTORY"): _same_kind,
    (b"LATENCY", b"RESET"): _same_kind,
    (b"MEMORY", b"USAGE"): _same_kind,
    (b"OBJECT", b"ENCODING"): _encoding,
    (b"OBJECT", b"HELP"): _same_kind,
    (b"OBJECT", b"IDLETIME"): _same_kind,
    (b"OBJECT", b"REFCOUNT"): _same_kind,
    (b"SLOWLOG", b"GET"): _same_kind,
    (b"SLOWLOG", b"LEN"): _same_kind,
}
