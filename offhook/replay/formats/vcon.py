"""vCon, the IETF's container for a conversation: JSON with parties, recordings, transcripts, attachments.

Reads the unsigned form, and a signed one without checking its signature. Recordings may be inline or files beside the
vCon, whose hash is checked; nothing is fetched from the network. Several recordings (one a party, or one after each
hold) become one call. The writing side is vcon_export.py. Source: draft-ietf-vcon-vcon-core-04, and what 0.0.1 to 0.3.0
called things.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

import numpy as np

from offhook.bundle import iso, number
from offhook.errors import RecordingError
from offhook.replay.formats.material import KeyPress, Material, Pcm
from offhook.replay.formats.sound import laid, resampled

MOST_BYTES = 768 << 20  # of JSON: 3 h of stereo at 8000 Hz, inline, are 461 MB
MOST_DIALOGS = 1000
FACTS_PURPOSE, JOURNAL_PURPOSE = "offhook-call", "offhook-journal"
AGENT_ROLES = {"agent", "bot", "ai", "assistant", "system"}
SCHEMA = "offhook-transcript-1"
_DIGITS = frozenset("0123456789ABCD*#")

Object = dict[str, Any]
Decode = Callable[[BinaryIO, str, int | None], Material]


def read(path: Path, file: BinaryIO, decode: Decode) -> Material:
    """One vCon. decode: makes sound of a recording's bytes. Raises RecordingError."""
    document = load(path, file)
    parties = objects(document.get("parties"))
    caller, notes = _caller(document, parties)
    if document.pop("_signed", False):
        notes.append("signed: the signature was not checked")
    parts: dict[str, list[tuple[float, Pcm]]] = {"caller": [], "agent": [], "mixed": []}
    recorded = recordings(document)
    starts = [start for one in recorded if (start := moment(one.get("start"))) is not None]
    zero = min(starts, default=None)
    rate_hz: int | None = None
    for index, one in enumerate(recorded):
        place = f"{path}: recording {index + 1}"
        material = decode(_content(path, place, one, notes), place, rate_hz)
        if rate_hz is None:
            rate_hz = material.rate_hz
        at = moment(one.get("start"))
        offset_s = at - zero if at is not None and zero is not None else 0.0
        notes += material.notes
        for pcm, side in zip(
            material.channels, _channel_sides(one, len(material.channels), caller), strict=True
        ):
            parts[side].append((offset_s, resampled(pcm, material.rate_hz, rate_hz, place)))
    if rate_hz is None:
        raise RecordingError(f"{path}: {_no_sound(document)}")
    channels, sides = _channels(parts, rate_hz, notes)
    started = iso(datetime.fromtimestamp(zero, UTC)) if zero is not None else ""
    return Material(
        rate_hz,
        channels,
        sides,
        keys=list(_keys(recorded, caller, zero)),
        texts=[line[:3] for line in transcript(document, zero) if line[3] == caller],
        facts=_facts(document, parties, caller, started),
        notes=notes,
    )


def load(path: Path, file: BinaryIO) -> Object:
    """The JSON, checked to be a vCon that may be read. Raises RecordingError."""
    if file.seek(0, 2) > MOST_BYTES:
        raise RecordingError(
            f"{path}: more than {MOST_BYTES >> 20} MiB of JSON. Keep its recordings in files beside it."
        )
    file.seek(0)
    document = _json(path, file.read())
    signed = "payload" in document and "signatures" in document
    if signed:
        document = _json(path, _base64(str(document["payload"]), f"{path}: payload"))
    if "ciphertext" in document:
        raise RecordingError(f"{path}: is an encrypted vCon. Decrypt it first.")
    if not ({"vcon", "uuid"} & document.keys()) or not ({"dialog", "parties", "analysis"} & document.keys()):
        raise RecordingError(
            f"{path}: is JSON, but no vCon: it has no `vcon` and `dialog`. Give a recording."
        )
    critical = document.get("critical") or document.get("must_support")
    if critical:
        raise RecordingError(
            f"{path}: needs the vCon extensions {critical!r}, which are not known here. Leave them out."
        )
    document["_signed"] = signed
    return document


def objects(value: object) -> list[Object]:
    """The objects in a JSON array; whatever else is there keeps its index as an empty one."""
    if not isinstance(value, list):
        return []
    return [item if isinstance(item, dict) else {} for item in value[:MOST_DIALOGS]]


def recordings(document: Object) -> list[Object]:
    """Dialogs with sound that was not redacted away."""
    return [
        one
        for one in objects(document.get("dialog"))
        if one.get("type", "recording") == "recording"
        and (one.get("body") or one.get("url") or one.get("filename"))
    ]


def attachment(document: Object, purpose: str) -> str | None:
    """The text of the attachment with this purpose, None if there is none."""
    for one in objects(document.get("attachments")):
        if purpose in (one.get("purpose"), one.get("type")) and isinstance(one.get("body"), str):
            body: str = one["body"]
            if one.get("encoding") == "base64url":
                return _base64(body, f"attachment {purpose}").decode("utf-8", "replace")
            return body
    return None


def transcript(document: Object, zero: float | None) -> Iterator[tuple[float, float, str, int | None]]:
    """Lines of transcripts: start and end in s, text, party. Ours, and those with start, end and text in a list."""
    for one in objects(document.get("analysis")):
        if one.get("type") != "transcript":
            continue
        body = one.get("body")
        if isinstance(body, str) and one.get("encoding") != "none":
            try:
                body = json.loads(body)
            except (ValueError, RecursionError):
                continue
        lines = body if isinstance(body, list) else _list_in(body) if isinstance(body, dict) else []
        for line in objects(lines):
            start, end = _seconds(line.get("start"), zero), _seconds(line.get("end"), zero)
            text = line.get("text", line.get("message", line.get("transcript")))
            party = line.get("party", line.get("speaker"))
            if start is not None and isinstance(text, str) and text:
                yield (
                    start,
                    end if end is not None else start + 1.0,
                    text,
                    party if _is_index(party) else None,
                )


def moment(value: object) -> float | None:
    """An RFC 3339 date, or epoch seconds as older ones have it, as epoch s."""
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    found = number(value)
    return found if found is not None and 0 <= found < 1e11 else None


def content_hash(data: bytes) -> str:
    """As the draft writes it: sha512, and the digest in base64url."""
    return "sha512-" + base64.urlsafe_b64encode(hashlib.sha512(data).digest()).rstrip(b"=").decode()


def _json(path: Path, data: bytes) -> Object:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path}: is not JSON: {error}. It may be cut off; export it again.") from error
    if not isinstance(found, dict):
        raise RecordingError(f"{path}: holds {type(found).__name__}, not a vCon. Give a recording.")
    return found


def _base64(text: str, place: str) -> bytes:
    """base64url without padding, and the plain kind that some write."""
    plain = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordingError(
            f"{place}: is no base64url: {error}. It may be cut off; export it again."
        ) from error


def _content(path: Path, place: str, one: Object, notes: list[str]) -> BinaryIO:
    """A recording's bytes, from inside the vCon or from beside it, as the hash says."""
    if isinstance(one.get("body"), str) and one["body"]:
        encoding = one.get("encoding", "base64url")
        if encoding not in ("base64url", "base64"):
            raise RecordingError(f"{place}: sound with encoding {encoding!r}. The draft says base64url.")
        return io.BytesIO(_base64(one.pop("body"), place))
    beside = _beside(path, place, one)
    try:
        data = beside.read_bytes()
    except OSError as error:
        raise RecordingError(
            f"{place}: {beside} cannot be read: {error.strerror}. Nothing is fetched: put the file beside the vCon."
        ) from error
    wanted = one.get("content_hash")
    hashes = [wanted] if isinstance(wanted, str) else wanted if isinstance(wanted, list) else []
    if (
        not hashes
        and isinstance(one.get("signature"), str)
        and str(one.get("alg", "")).upper().startswith("SHA-512")
    ):
        hashes = ["sha512-" + one["signature"]]  # up to version 0.0.2
    ours = [text.rstrip("=") for text in hashes if isinstance(text, str) and text.startswith("sha512-")]
    if not ours:
        notes.append(f"{beside.name}: the vCon has no SHA-512 of it, so it may be another file")
    elif content_hash(data) not in ours:
        raise RecordingError(
            f"{place}: {beside} is not the file that was exported: its hash differs. Get the right one."
        )
    return io.BytesIO(data)


def _beside(path: Path, place: str, one: Object) -> Path:
    """The file that a recording refers to. Only its last name counts: a vCon may not point anywhere else."""
    for key in ("url", "filename"):
        if isinstance(one.get(key), str):
            name = Path(unquote(_path_of(one[key]))).name
            if name not in ("", ".", "..") and "\0" not in name:
                return path.parent / name
    raise RecordingError(f"{place}: refers to no file. Export it with its sound inside.")


def _path_of(url: str) -> str:
    """The path of a URL; of what is none, all of it."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _caller(document: Object, parties: Sequence[Object]) -> tuple[int | None, list[str]]:
    """Which party is the one that our agent talks to."""
    agents = [at for at, party in enumerate(parties) if str(party.get("role", "")).lower() in AGENT_ROLES]
    others = [at for at in range(len(parties)) if at not in agents]
    if agents and len(others) == 1:
        return others[0], []
    for one in recordings(document):
        first = one.get("originator")
        listed = one.get("parties")
        while isinstance(listed, list):
            listed = listed[0] if listed else None
        first = first if _is_index(first) else listed
        if _is_index(first):
            assert isinstance(first, int)
            return first, [f"party {first} is taken for the caller: it began the conversation"]
    return (0, ["party 0 is taken for the caller: nothing says who began"]) if parties else (None, [])


def _channel_sides(one: Object, channels: int, caller: int | None) -> list[str]:
    """Who is on each channel of a recording: caller, agent or mixed."""
    listed = one.get("parties")
    if caller is None or listed is None:
        return ["mixed"] if channels == 1 else ["caller", "agent"]
    per_channel = listed if isinstance(listed, list) and channels > 1 else [listed]
    sides = []
    for channel in range(channels):
        who = per_channel[channel] if channel < len(per_channel) else None
        indices = who if isinstance(who, list) else [who]
        if isinstance(who, list) and len(who) > 1 and caller in who:
            sides.append("mixed")
        else:
            sides.append("caller" if caller in indices else "agent")
    return sides


def _channels(
    parts: dict[str, list[tuple[float, Pcm]]], rate_hz: int, notes: list[str]
) -> tuple[list[Pcm], tuple[str, ...]]:
    """Two equally long channels, or a mixed one if no party was recorded alone."""
    if not parts["caller"] and not parts["agent"]:
        return [laid(parts["mixed"], rate_hz)], ("mixed",)
    if parts["mixed"]:
        notes.append("some recordings are mixed: they count as the caller's")
    caller = laid(parts["caller"] + parts["mixed"], rate_hz)
    agent = laid(parts["agent"], rate_hz)
    if not len(agent):
        return [caller], ("caller",)
    size = max(len(caller), len(agent))
    return [_filled(caller, size), _filled(agent, size)], ("caller", "agent")


def _filled(pcm: Pcm, size: int) -> Pcm:
    """The same with silence behind it."""
    return pcm if len(pcm) == size else np.concatenate([pcm, np.zeros(size - len(pcm), np.int16)])


def _keys(recorded: list[Object], caller: int | None, zero: float | None) -> Iterator[KeyPress]:
    for one in recorded:
        for event in objects(one.get("party_history")):
            at, digit = moment(event.get("time")), str(event.get("dtmf", event.get("button", "")))
            ours = event.get("event") in ("dtmfdown", "keydown") and event.get("party") == caller
            if ours and at is not None and zero is not None and digit in _DIGITS:
                yield KeyPress(round(max(0.0, at - zero), 3), digit)


def _facts(document: Object, parties: Sequence[Object], caller: int | None, started: str) -> Object:
    """What an Offhook export brought along, else what the parties say."""
    names: list[str] = [_name(party) for party in parties]
    others = [name for at, name in enumerate(names) if at != caller]
    facts: Object = {
        "caller": names[caller] if caller is not None and caller < len(names) else "",
        "called": others[0] if others else "",
        "headers": {},
        "started": started,
        "vcon": str(document.get("uuid", "")),
    }
    if (text := attachment(document, FACTS_PURPOSE)) is not None:
        try:
            exported = json.loads(text)
        except (ValueError, RecursionError):
            exported = None
        if isinstance(exported, dict):
            facts |= exported
    return facts


def _name(party: Object) -> str:
    """A number before all, then a SIP address, a mail address, a name."""
    for key in ("tel", "sip", "mailto", "name"):
        if isinstance(party.get(key), str) and party[key]:
            value: str = party[key]
            return value.removeprefix(f"{key}:")
    return ""


def _no_sound(document: Object) -> str:
    kinds = sorted({str(one.get("type")) for one in objects(document.get("dialog"))})
    if document.get("redacted") or document.get("redacted_from"):
        return "the sound was redacted away. Replay needs the caller's sound."
    return f"no recording in it, only {', '.join(kinds) or 'nothing'}. Replay needs the caller's sound."


def _list_in(body: Object) -> object:
    """The list of lines in a transcript of any vendor."""
    for key in ("turns", "segments", "utterances", "lines", "transcript", "results"):
        if isinstance(body.get(key), list):
            return body[key]
    return []


def _seconds(value: object, zero: float | None) -> float | None:
    """Seconds into the conversation; dates are counted from its beginning."""
    if isinstance(value, str):
        at = moment(value)
        return None if at is None or zero is None else at - zero
    return number(value)


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
