"""The differences that are meant: each has its reason in docs/DIVERGENCE.md, and nothing else is excused.

What a command answers differently is told here by `meant`. What it would leave behind differently, so that
later replies differ, is not sent: `is_sent`. How lifetimes and sums of floats may differ, `compare.py` and
`player.py` ask `capped` and `is_no_float_here`.
"""

import re
import time

# The latest deadline, in ms since 1970: 48 bits, and the last of them means never.
_LAST_DEADLINE_MS = (1 << 48) - 2
_LCS_REFUSED = re.compile(rb"-ERR LCS would fill a table of (\d+) cells, and (\d+) are the most\r\n")


def is_sent(words):
    """What two references answer differently, and Tenure as one of them. HELLO with a name and then a mistake: Redis 7.0 keeps the name, 7.2 and
    Tenure change nothing. WAITAOF beyond the end of time: Valkey refuses it, Tenure takes it as Redis 7.0 takes such a WAIT."""
    name = words[0].upper()
    if name == b"HELLO":
        return b"SETNAME" not in [word.upper() for word in words] or len(words) < 5
    return name != b"WAITAOF" or words[3:4] != (b"9223372036854775807",)


def meant(words, reference, subject):
    """Whether the replies to this command differ as they should."""
    if not subject.is_error:
        return False
    if _text(reference.raw) == _text(subject.raw):
        return True
    name = words[0].upper()
    if name in (b"SCAN", b"HSCAN"):
        # Redis 7.0 takes a negative cursor for a large one; 7.2 and Tenure refuse it.
        cursor = words[1 if name == b"SCAN" else 2]
        return subject.raw == b"-ERR invalid cursor\r\n" and re.fullmatch(rb"-\d+", cursor) is not None
    if name == b"LCS":
        refused = _LCS_REFUSED.fullmatch(subject.raw)
        return refused is not None and int(refused[1]) > int(refused[2])
    return False


def _text(raw):
    """An error as text, as Tenure writes it, while Redis repeats a client's bytes. The arguments that an unknown
    command's error repeats are left out unless they are plain: they are cut off after so many bytes."""
    prefix, begins, arguments = raw.partition(b"with args beginning with: ")
    plain = all(0x20 <= byte < 0x7F for byte in arguments.rstrip(b"\r\n"))
    shown = raw if plain else prefix + begins
    return shown.decode(errors="replace") if raw.startswith(b"-") else raw


def capped(name, lifetime):
    """The lifetime or deadline that Tenure tells where Redis tells this one."""
    unit = 1000 if name in (b"TTL", b"EXPIRETIME") else 1
    since = time.time() * 1000 if name in (b"TTL", b"PTTL") else 0
    return min(lifetime, int((_LAST_DEADLINE_MS - since) / unit))


def bits_of_sum(result):
    """Bits in which Tenure's sum agrees: past 21 digits it is a sum of 64-bit floats."""
    return 62 if abs(result) < 10**21 else 51


def is_no_float_here(value, result):
    """Whether a float is none to Tenure: hexadecimal, or beyond 64 bits before or after adding to it."""
    text = value.strip().lstrip(b"+-").lower()
    if text.startswith(b"0x"):
        return True
    return any(_is_beyond_64_bits(number) for number in (text, result))


def _is_beyond_64_bits(number):
    try:
        return float(number) in (float("inf"), float("-inf")) and b"inf" not in number.lower()
    except ValueError:
        return False
