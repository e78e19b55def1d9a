"""The notation of written conversations: words of a command, and expectations of a reply.

    +OK            this simple string              :5  :3..9      this integer, this range
    "text"         this string                     nil            no value, in either protocol
    -              any error                       -ERR no such   an error that begins so
    ok|error       +OK or any error                any            whatever is not an error
    contains "x"   a string with x in it           $name          any scalar; kept under that name
    map k=EXP ...  a map, or the same flat, with at least these keys
    [ EXP ... ]    an array of just these          list 3         an array of that many items
    push "x"       a RESP3 push that begins with x
"""

import re

_ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t"}


def split_words(text):
    """Splits a line as redis-cli does: blanks apart, '..' as it is, ".." with escapes."""
    words, rest = [], text.strip()
    while rest:
        word, rest = _take_word(rest)
        words.append(word)
        rest = rest.lstrip()
    return words


def _take_word(text):
    if text[0] == '"':
        return _take_quoted(text)
    if text[0] == "'":
        end = text.index("'", 1)
        return text[1:end].encode(), text[end + 1 :]
    word, _, rest = text.partition(" ")
    return word.encode(), rest


def _take_quoted(text):
    word, at = b"", 1
    while text[at] != '"':
        if text[at] != "\\":
            word += text[at].encode()
            at += 1
        elif text[at + 1] == "x":
            word += bytes([int(text[at + 2 : at + 4], 16)])
            at += 4
        else:
            word += _ESCAPES.get(text[at + 1], text[at + 1].encode())
            at += 2
    return word, text[at + 1 :]


def matches(expectation, reply, captured):
    """None when the reply is as expected, else a sentence that says how it differs."""
    tokens = _tokens(expectation)
    problem = _match(tokens, reply, captured)
    if problem is None and tokens:
        raise SyntaxError(f"too much in {expectation!r}: {tokens}")
    return problem


def _tokens(text):
    """Cuts an expectation into its parts; an error takes the rest of the line."""
    if text.startswith("-"):
        return [text]
    pattern = r'"(?:\\.|[^"\\])*"|\[|\]|[\w.:-]+=|:-?\d+\.\.-?\d+|[^\s\[\]="]+'
    return re.findall(pattern, text)


def _match(tokens, reply, captured):
    token = tokens.pop(0)
    if token == "any":
        return "an error" if reply.is_error else None
    if token == "nil":
        return None if reply.is_nil else "a value where none is expected"
    if token == "ok|error":
        return None if reply.raw == b"+OK\r\n" or reply.is_error else "neither OK nor an error"
    if token.startswith("-"):
        return _match_error(token, reply)
    if reply.is_error:
        return f"an error where {token} is expected"
    return _match_value(token, tokens, reply, captured)


def _match_error(token, reply):
    if not reply.is_error:
        return "no error"
    wanted = token[1:]
    return None if reply.text().startswith(wanted) else f"another error than {wanted!r}"


def _match_value(token, tokens, reply, captured):
    if token.startswith("$"):
        captured[token[1:]] = _payload(reply)
        return None
    if token.startswith("+"):
        return None if reply.raw == token.encode() + b"\r\n" else f"not {token}"
    if token.startswith(":"):
        return _match_integer(token[1:], reply)
    if token.startswith('"'):
        wanted = _take_quoted(token)[0]
        return None if reply.kind in (b"$", b"=") and _payload(reply) == wanted else f"not the string {wanted!r}"
    if token == "contains":
        wanted = _take_quoted(tokens.pop(0))[0]
        return None if wanted in reply.body else f"without {wanted!r}"
    if token == "list":
        return _match_list(tokens, reply)
    if token == "map":
        return _match_map(tokens, reply, captured)
    if token == "push":
        wanted = _take_quoted(tokens.pop(0))[0]
        return None if reply.kind == b">" and _payload(reply.items[0]) == wanted else f"not the push {wanted!r}"
    if token == "[":
        return _match_array(tokens, reply, captured)
    raise SyntaxError(f"unknown expectation {token!r}")


def _payload(reply):
    return reply.body[4:] if reply.kind == b"=" else reply.body


def _match_integer(text, reply):
    low, _, high = text.partition("..")
    if reply.kind != b":":
        return "not an integer"
    value = int(reply.body)
    return None if int(low) <= value <= int(high or low) else f"not in {text}"


def _match_list(tokens, reply):
    if reply.items is None:
        return "not an array"
    if not tokens or not tokens[0].isdigit():
        return None
    wanted = int(tokens.pop(0))
    return None if len(reply.items) == wanted else f"{len(reply.items)} items instead of {wanted}"


def _match_array(tokens, reply, captured):
    if reply.items is None:
        return "not an array"
    problem = None
    for item in reply.items:
        if tokens[0] == "]":
            problem = problem or f"more items than expected: {len(reply.items)}"
            break
        problem = _match(tokens, item, captured) or problem
    while tokens[0] != "]":
        problem = problem or f"only {len(reply.items)} items"
        tokens.pop(0)
    tokens.pop(0)
    return problem


def _match_map(tokens, reply, captured):
    if reply.items is None or len(reply.items) % 2:
        return "not a map"
    found = {_payload(key).decode(): value for key, value in zip(reply.items[::2], reply.items[1::2])}
    problem = None
    while tokens and tokens[0].endswith("="):
        key = tokens.pop(0)[:-1]
        if key not in found:
            return f"no key {key!r}"
        problem = problem or _match(tokens, found[key], captured)
    return problem
