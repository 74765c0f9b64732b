"""Plans that an editor, a disk, a merge or a stranger has broken, for the test that only problems come of them.

Bytes (what disks and encodings do), lines (what editors and merges do), values (what people do who guess)."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import yaml

Path = tuple[str | int, ...]

TOKENS = (
    b"\t", b"%YAML 9", b"\n%YAML x.y\n", b"%TAG ! tag:x,2000:\n", b"!!int ", b"!!python/object:os.system ",
    b"! ", b"&a ",
    b"*a ", b"&a &b ", b"*", b"&", b"<<: *a", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xc3", b"\xc2\x85",
    b"\xe2\x80\xa8", b"\r",
    b"\x1b[2J", b"\x7f", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "\u202e".encode(), b"\n---\n", b"\n...\n",
    b"? ", b"- ", b": ",
    b"{", b"}", b"[", b"]", b'"', b"'", b"|", b">", b"|9\n", b">-\n", b"#", b"@", b"`", b"\\", b'"\\x"', b'"\\uD800"',
)  # fmt: skip
WORDS = (
    b"[",
    b"}",
    b"{a: b}",
    b"yes",
    b"",
    b"&x",
    b"*x",
    b"!!t",
    b"[[]]",
    b"~",
    b"null",
    b"{}",
    b"0x10",
    b".inf",
)
ODD: tuple[Any, ...] = (
    None, "", " ", "x", "no", "0", "-1", "1e309", "nan", "9" * 400, "\u0661", "1" * 5000, [], {}, [[]], [None],
    {"": ""},
    {"a": {"b": ["c"]}}, [{"number": "any"}], "any", "*", "[1-", "sip:", "sip:@", "tel:", "+", "/(a+)+$/",
    "anonymous",
    "00:00-24:00", "24:00-24:00", "9999-12-31", "0001-01-01..9999-12-31", "2026-02-29", "mon-mon", "100%",
    "0%", "1" * 400 + "%",
    "0s", "1" * 400 + "h", "Europe", "../../etc/passwd", "/dev/null", "/", "x\x85y", "a" * 70000, "desk", "reception",
    "\u202ereception", "national zz", "on", "{x}", "{digits:99}", "a.b:c", "telephony.errors:CallFailed",
    "__import__:x",
    "x.ics", "x.csv", "x.wav", "x.yaml", ["x.ics", "x.ics"], {"file": "x.csv"}, {"target": "x"}, {"limit": "0"},
)  # fmt: skip


def broken(good: bytes, rng: random.Random) -> bytes:
    """One plan, broken in one of the ways."""
    way = rng.randrange(10)
    if way < 3:
        return _bytes(good, rng)
    if way < 6:
        return _lines(good, rng)
    if way < 9:
        return _values(good, rng)
    return _whole(good, rng)


def _bytes(good: bytes, rng: random.Random) -> bytes:
    data = bytearray(good if rng.random() < 0.6 else good[: rng.randrange(len(good))])
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 1:
            data[at : at + rng.randrange(1, 30)] = b""
        elif kind == 2:
            data[at : at + 1] = bytes([rng.randrange(256)])
        else:
            end = at + rng.randrange(1, 400)
            data[at:at] = data[at:end]
    return bytes(data)


def _lines(good: bytes, rng: random.Random) -> bytes:
    lines = good.split(b"\n")
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(lines))
        kind = rng.randrange(7)
        if kind == 0:
            words = lines[at].split(b" ")
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            lines[at] = b" ".join(words)
        elif kind == 1:
            lines.insert(rng.randrange(len(lines)), lines[at])
        elif kind == 2:
            lines[at : at + rng.randrange(1, 4)] = [b""]
        elif kind == 3:
            lines[at] = lines[at].replace(
                b": ", rng.choice([b" ", b":", b": : ", b": - ", b": |\n", b":\t"]), 1
            )
        elif kind == 4:
            lines[at] = rng.choice([b" " * rng.randrange(9), b"\t"]) + lines[at].lstrip()
        elif kind == 5:
            lines[at:at] = [b"<<<<<<< HEAD", *lines[at : at + 2], b"=======", lines[at], b">>>>>>> other"]
        else:
            lines[at] = lines[at].rstrip() + rng.choice([b",", b"]", b"}", b" &a", b" *a", b"'", b'"', b" :"])
    return b"\n".join(lines)


def _values(good: bytes, rng: random.Random) -> bytes:
    """Any part of the plan replaced by what nobody would write there, put elsewhere, or gone."""
    plan = yaml.load(good, yaml.CBaseLoader)
    for _ in range(rng.randrange(1, 4)):
        places = list(_places(plan))
        if not places:
            break
        loc = rng.choice(places)
        holder = _at(plan, loc[:-1])
        kind = rng.randrange(5)
        if kind < 2:
            holder[loc[-1]] = deepcopy(rng.choice(ODD))
        elif kind == 2:
            holder[loc[-1]] = deepcopy(_at(plan, rng.choice(places)))
        elif kind == 3:
            del holder[loc[-1]]
        elif isinstance(holder, dict):
            odd = rng.choice(ODD)
            holder[odd if isinstance(odd, str) else str(loc[-1])[::-1]] = holder.pop(loc[-1])
    return yaml.dump(plan, Dumper=_NoAliases, allow_unicode=True, sort_keys=False).encode()


def _whole(good: bytes, rng: random.Random) -> bytes:
    """The file as a whole: encodings, nesting, sizes, aliases that multiply."""
    text = good.decode()
    at = rng.randrange(len(good))
    choices = [
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-32"),
        lambda: text.replace("e", "é").encode("latin-1", "replace"),
        lambda: b"\xef\xbb\xbf\xef\xbb\xbf" + good,
        lambda: good[:at] + b"[" * rng.randrange(30, 3000) + good[at:],
        lambda: good[:at] + b"\n" + b" ".join(b"a:\n" + b" " * n for n in range(60)) + good[at:],
        lambda: good + b"\nname: " + b"x" * rng.randrange(10**5, 10**6),
        lambda: good.replace(b"\n", b"\r"),
        lambda: good.replace(b"  ", b"\t"),
        lambda: good + good,
        lambda: good.replace(b"\nnumbers:", b"\nagents: {}\nnumbers:", 1),
        lambda: b"a0: &a0 [x, x, x, x, x]\n" + b"".join(
            b"a%d: &a%d [*a%d, *a%d, *a%d]\n" % (n, n, n - 1, n - 1, n - 1) for n in range(1, 40)
        ) + good,
        lambda: b"a: &a [" + b"x, " * 2000 + b"]\nb: [" + b"*a, " * 200 + b"]\n" + good,
        lambda: good[:at],
        lambda: good.replace(b"agent: ", b"agent: &x ", 1).replace(b"tests:", b"tests: *x\nname: ", 1),
    ]  # fmt: skip
    return rng.choice(choices)()


class _NoAliases(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _places(value: Any, loc: Path = ()) -> Any:
    """Every part of a plan but the whole."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*loc, key)
        yield from _places(item, (*loc, key))


def _at(value: Any, loc: Path) -> Any:
    for part in loc:
        value = value[part]
    return value
