"""A call's bundle as a vCon, for archives and tools that speak the IETF's format, and what is imported as a bundle.

The reading side is formats/vcon.py; what is written here is read back with it before anybody is told that it is done.
Source: draft-ietf-vcon-vcon-core-04; the parties' `role` is that of draft-ietf-vcon-cc-extension-02.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from offhook.bundle import AUDIO, FACTS, JOURNAL, SAFE_ID, Bundle, Record, iso, number, transcript
from offhook.errors import BundleError, RecordingError
from offhook.replay import speech
from offhook.replay.formats import bundles, vcon
from offhook.replay.keeping import moment, write_audio
from offhook.replay.recording import Recording, read

VERSION = "0.4.0"
CALLER, AGENT = 0, 1
VENDOR = "Offhook"

Object = dict[str, Any]


def export(source: Path, target: Path, *, external: bool = False, url_base: str = "") -> Path:
    """Write the bundle in folder `source` as the vCon `target`. external: its sound becomes a file beside it, with its
    hash in the vCon, and url_base in front of its name. Raises RecordingError or BundleError."""
    record, material = Record.read(source), bundles.read(source)
    assert record.audio_path is not None
    zero, _ = bundles.beginning(record.events, material.channels[1], material.rate_hz)
    start = _began(record, zero)
    length_s = len(material.channels[0]) / material.rate_hz
    audio = target.with_name(f"{record.id}.wav") if external else None
    dialog: Object = {
        "type": "recording",
        "start": iso(start),
        "duration": round(length_s, 3),
        "parties": [CALLER, AGENT],
        "mediatype": "audio/x-wav",
        "filename": f"{record.id}.wav",
        **_content(record.audio_path, audio, url_base),
        "party_history": [
            {
                "party": CALLER,
                "time": iso(start + timedelta(seconds=key.at_s)),
                "event": "dtmfdown",
                "dtmf": key.digit,
            }
            for key in material.keys
        ],
    }
    document: Object = {
        "vcon": VERSION,
        "uuid": vcon_id(record.id, start),
        "extensions": ["CC"],
        "created_at": iso(datetime.now(UTC)),
        "subject": f"Call to {record.facts.get('called') or 'an agent'}",
        "parties": _parties(record.facts),
        "dialog": [dialog],
        "analysis": _analysis(record, zero),
        "attachments": _attachments(record, start),
    }
    if "anonymised" in record.facts:
        document["redacted"] = {"type": "numbers, names and mail addresses masked in text and sound"}
    try:
        target.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise RecordingError(
            f"{target}: cannot be written: {error.strerror}. Choose another --output."
        ) from error
    _check(target, source)
    return target


def vcon_id(call_id: str, start: datetime) -> str:
    """A version 8 UUID: the time as version 7 has it, the rest drawn from the call's id: always the same."""
    digest = int.from_bytes(hashlib.sha1(call_id.encode(), usedforsecurity=False).digest(), "big")
    value = int(start.timestamp() * 1000) << 80 | (digest >> 148) << 64 | (digest & (1 << 62) - 1)
    value = value & ~(0xF << 76) | 8 << 76
    return str(uuid.UUID(int=value & ~(3 << 62) | 2 << 62))


def store(source: Path, recording: Recording, calls_dir: Path) -> Path:
    """A recording as a bundle below calls_dir: one that came from a bundle by way of a vCon gets its journal back,
    others one that tells what was found by listening. Raises BundleError or RecordingError."""
    facts = {key: value for key, value in recording.facts.items() if key not in ("ended", "id")}
    wanted = str(recording.facts.get("id") or recording.facts.get("vcon") or "")
    id = wanted if SAFE_ID.fullmatch(wanted) else uuid.uuid4().hex
    facts["imported"] = {"source": source.name, "notes": list(recording.notes)}
    if told := recording.facts.get("started"):
        started = moment(told)
    else:
        started = datetime.fromtimestamp(source.stat().st_mtime, UTC)
        facts["imported"]["notes"].append("nothing says when the call was: its day is that of the file")
    rows = _journal_of(source) or _listened(recording, started)
    bundle = Bundle.create(calls_dir, id, started, facts)
    with bundle:
        for row in rows:
            bundle.append(row, row["at"], moment(row.get("wall")))
        agent = recording.agent if recording.agent is not None else np.zeros_like(recording.caller)
        write_audio(bundle.path / AUDIO, (recording.caller, agent), recording.rate_hz)
        ended = recording.facts.get("ended") or iso(started + timedelta(seconds=recording.duration_s))
        bundle.close({"duration_s": round(recording.duration_s, 3), "ended": ended})
    return bundle.path


def _check(target: Path, source: Path) -> None:
    """What was written says the same as what it was made of."""
    ours, theirs = read(source), read(target)
    same = np.array_equal(ours.caller, theirs.caller) and [key.digit for key in ours.keys] == [
        key.digit for key in theirs.keys
    ]
    if not same:
        raise RecordingError(f"{target}: does not read back as {source}. Check the disk, and export again.")


def _content(sound: Path, beside: Path | None, url_base: str) -> Object:
    try:
        if beside is None:
            body = base64.urlsafe_b64encode(sound.read_bytes()).rstrip(b"=").decode()
            return {"encoding": "base64url", "body": body}
        shutil.copyfile(sound, beside)
        return {"url": url_base + beside.name, "content_hash": vcon.content_hash(beside.read_bytes())}
    except OSError as error:
        raise RecordingError(f"{sound}: cannot be copied: {error.strerror}. Check the disk.") from error


def _parties(facts: Object) -> list[Object]:
    caller: Object = {"role": "customer"}
    if dialled := str(facts.get("caller") or ""):
        caller["sip" if "@" in dialled else "tel"] = dialled
    if name := str(facts.get("caller_name") or ""):
        caller |= {"name": name, "validation": "none"}
    agent: Object = {"role": "agent", "name": str(facts.get("agent") or "agent"), "validation": "none"}
    if called := str(facts.get("called") or ""):
        agent["sip" if "@" in called else "tel"] = called
    return [caller, agent]


def _analysis(record: Record, zero: float) -> list[Object]:
    """The transcript: what the recogniser understood, and what the caller heard of each reply."""
    first = float(record.events[0]["at"]) if record.events else 0.0
    spoken: list[Object] = [
        {
            "start": round(max(0.0, line.at + first - zero), 3),
            "party": CALLER if line.speaker == "caller" else AGENT,
            "speaker": line.speaker,
            "text": line.text,
            "interrupted": line.interrupted,
        }
        for line in transcript(record)
        if line.text
    ]
    ends = {one.start_s: one.end_s for one in bundles.said(record.events, zero)}
    for line in spoken:
        near = min(ends, key=lambda start: abs(start - line["start"]), default=None)
        if line["party"] == CALLER and near is not None and abs(near - line["start"]) < 0.5:
            line["end"] = ends[near]
    body = json.dumps({"turns": spoken}, ensure_ascii=False)
    about = {"type": "transcript", "dialog": 0, "vendor": VENDOR, "product": "offhook", "schema": vcon.SCHEMA}
    return [{**about, "mediatype": "application/json", "encoding": "json", "body": body}]


def _attachments(record: Record, start: datetime) -> list[Object]:
    """call.json and the journal, so that tools, handoffs and delays are not lost on the way."""
    rows = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in record.events)
    facts = json.dumps(record.facts, ensure_ascii=False)
    common = {"start": iso(start), "party": AGENT, "dialog": 0, "encoding": "none"}
    return [
        {
            **common,
            "purpose": vcon.FACTS_PURPOSE,
            "mediatype": "application/json",
            "filename": FACTS,
            "body": facts,
        },
        {
            **common,
            "purpose": vcon.JOURNAL_PURPOSE,
            "mediatype": "application/x-ndjson",
            "filename": JOURNAL,
            "body": rows,
        },
    ]


def _began(record: Record, zero: float) -> datetime:
    """Wall time of the recording's first sample."""
    if record.events and "wall" in record.events[0]:
        first = record.events[0]
        return moment(first["wall"]) + timedelta(seconds=zero - float(first["at"]))
    return moment(record.facts.get("started"))


def _journal_of(source: Path) -> list[Object]:
    """The journal that an Offhook export brought along, [] if there is none."""
    if source.is_dir() or source.suffix.lower() not in (".json", ".vcon"):
        return []
    with source.open("rb") as file:
        text = vcon.attachment(vcon.load(source, file), vcon.JOURNAL_PURPOSE) or ""
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{source}: its journal is damaged: {error}. Export it again") from error
        if isinstance(row, dict) and isinstance(row.get("type"), str) and number(row.get("at")) is not None:
            rows.append(row)
    return rows


def _listened(recording: Recording, started: datetime) -> list[Object]:
    """A journal of what can be heard: who spoke when, which keys. at counts from the beginning of the recording."""
    caller, called = recording.facts.get("caller", ""), recording.facts.get("called", "")
    end = recording.duration_s
    rows: list[Object] = [
        {"at": 0.0, "type": "CallArrived", "caller": caller, "called": called},
        {"at": 0.0, "type": "CallAnswered", "setup_ms": 0.0},
    ]
    for one in recording.utterances:
        rows.append({"at": one.start_s, "type": "CallerStartedSpeaking", "since": one.start_s})
        rows.append({"at": one.end_s, "type": "CallerStoppedSpeaking", "until": one.end_s})
        turn = {
            "text": one.text,
            "understood": True,
            "confidence": 1.0,
            "waited_ms": 0.0,
            "stt_ms": 0.0,
            "by": "voice",
        }
        heard = {"type": "UserTurnCommitted", "spoke_until": one.end_s, **turn}
        rows.append(
            {"at": one.end_s, **(heard if one.text else {"type": "NothingHeard", "reason": "imported"})}
        )
    rows += [{"at": key.at_s, "type": "KeyPressed", "digit": key.digit} for key in recording.keys]
    if recording.agent is not None:
        rate_hz, name = recording.rate_hz, recording.facts.get("agent") or "agent"
        spoken = speech.lingering(recording.agent, rate_hz, speech.stretches(recording.agent, rate_hz))
        for part in speech.joined(spoken, (), speech.AGENT_BREATH_S):
            heard_ms = round(1000 * (part.end_s - part.start_s))
            rows.append({"at": part.start_s, "type": "AgentStartedSpeaking", "agent": name})
            rows.append(
                {"at": part.end_s, "type": "AgentSpoke", "agent": name, "text": "", "heard_ms": heard_ms}
            )
    rows.append({"at": end, "type": "CallEnded"})
    rows.sort(key=lambda row: row["at"])
    return [{**row, "wall": iso(started + timedelta(seconds=row["at"]))} for row in rows]
