"""vCons of others are read, ours are written and read back; imported calls are bundles like any other."""

from __future__ import annotations

import base64
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from offhook.bundle import Record, transcript
from offhook.commands.calls import app
from offhook.replay.formats.vcon import content_hash
from offhook.replay.recording import Reading, RecordingError, read
from offhook.replay.vcon_export import export, store
from tests.offhook.replay.makers import (
    CALLER_AT_S,
    INTERRUPTS_AT_S,
    Talk,
    at_rate,
    encoded,
    pcap,
    sides,
    stereo,
    wav_of,
)
from tests.offhook.replay.test_formats import same_call, written
from tests.offhook.replay.vcons import bundle, inline, vcon


def saved(folder: Path, document: dict[str, Any], name: str = "call.vcon.json") -> Path:
    return written(folder, name, json.dumps(document).encode())


def test_an_inline_recording_is_read_with_its_parties(tmp_path: Path) -> None:
    found = read(saved(tmp_path, vcon(wav_of("pcm16", stereo()))))
    same_call(found, lag=0.1)
    assert (found.name, found.facts["caller"], found.facts["called"]) == ("call", "+4930123456", "100")
    assert found.facts["started"] == "2026-03-01T10:00:00.000Z" and found.notes == ()


def test_the_parties_say_who_is_on_which_channel(tmp_path: Path) -> None:
    swapped = wav_of("pcm16", stereo()[:, ::-1])
    same_call(read(saved(tmp_path, vcon(swapped, parties=[1, 0]))), lag=0.1)
    nobody = vcon(swapped, parties=[1, 0], originator=0)
    del nobody["parties"][1]["role"]
    found = read(saved(tmp_path, nobody))
    same_call(found, lag=0.1)
    assert any("it began the conversation" in note for note in found.notes)


def test_a_recording_beside_the_vcon_is_taken_if_its_hash_is_right(tmp_path: Path) -> None:
    data = encoded("mp3", "mp3", stereo(16000), 16000)
    (tmp_path / "call 1.mp3").write_bytes(data)
    document = vcon(b"", url="https://store.example/a/call%201.mp3", content_hash=content_hash(data), body="")
    same_call(read(saved(tmp_path, document)), level=2.0)
    document["dialog"][0]["content_hash"] = ["sha256-abc", content_hash(b"another")]
    with pytest.raises(RecordingError, match="its hash differs"):
        read(saved(tmp_path, document))
    del document["dialog"][0]["content_hash"]
    assert any("may be another file" in note for note in read(saved(tmp_path, document)).notes)
    document["dialog"][0]["url"] = "https://store.example/../../../gone.mp3"
    with pytest.raises(RecordingError, match="Nothing is fetched"):
        read(saved(tmp_path, document))


def test_one_recording_for_each_party_is_laid_side_by_side(tmp_path: Path) -> None:
    caller, agent = sides()
    document = vcon(wav_of("pcm16", caller), parties=0)
    later = inline(wav_of("pcm16", at_rate(agent[4000:], 16000), 16000))
    document["dialog"].append(
        {"type": "recording", "start": "2026-03-01T10:00:00.500Z", "parties": 1, **later}
    )
    same_call(read(saved(tmp_path, document)), lag=1.0)


def test_recordings_one_after_the_other_keep_their_times(tmp_path: Path) -> None:
    half = 6 * 8000
    document = vcon(wav_of("pcm16", stereo()[:half]))
    rest = inline(wav_of("pcm16", stereo()[half:]))
    document["dialog"].append(
        {"type": "recording", "start": "2026-03-01T12:00:06+02:00", "parties": [0, 1], **rest}
    )
    found = read(saved(tmp_path, document))
    assert np.array_equal(found.caller, sides()[0])


def test_a_mixed_recording_is_said_to_be_mixed(tmp_path: Path) -> None:
    caller, agent = sides()
    both = saved(tmp_path, vcon(wav_of("pcm16", caller // 2 + agent // 2), parties=[0, 1]))
    with pytest.raises(RecordingError, match="--mono"):
        read(both)
    found = read(both, Reading(mono="mixed"))
    assert found.agent is None and any("both sides are mixed" in note for note in found.notes)


@pytest.mark.parametrize("shape", ["ours", "segments", "list"])
def test_transcripts_give_the_utterances_their_words_and_history_the_keys(tmp_path: Path, shape: str) -> None:
    lines = [
        {"start": CALLER_AT_S + 0.1, "end": CALLER_AT_S + 1.5, "party": 0, "text": "an appointment please"},
        {"start": 7.0, "end": 9.0, "party": 1, "text": "For which day?"},
        {"start": INTERRUPTS_AT_S, "end": INTERRUPTS_AT_S + 0.6, "party": 0, "text": "goodbye"},
    ]
    body: object = {"ours": {"turns": lines}, "segments": {"segments": lines}, "list": lines}[shape]
    document = vcon(wav_of("pcm16", stereo()))
    document["analysis"] = [{"type": "transcript", "dialog": 0, "encoding": "json", "body": json.dumps(body)}]
    document["dialog"][0]["party_history"] = [
        {"party": 0, "event": "dtmfdown", "dtmf": "5", "time": "2026-03-01T10:00:10.500Z"},
        {"party": 0, "event": "dtmfup", "dtmf": "5", "time": "2026-03-01T10:00:10.600Z"},
        {"party": 1, "event": "dtmfdown", "dtmf": "9", "time": "2026-03-01T10:00:11Z"},
    ]
    found = read(saved(tmp_path, document))
    assert [one.text for one in found.utterances] == ["an appointment please", "goodbye"]
    assert [(key.at_s, key.digit) for key in found.keys] == [(10.5, "5")]


def test_signed_vcons_are_read_and_encrypted_or_demanding_ones_refused(tmp_path: Path) -> None:
    inner = json.dumps(vcon(wav_of("pcm16", stereo()))).encode()
    signed = {"payload": base64.urlsafe_b64encode(inner).decode(), "signatures": [{"signature": "x"}]}
    found = read(saved(tmp_path, signed))
    same_call(found, lag=0.1)
    assert "signed: the signature was not checked" in found.notes
    with pytest.raises(RecordingError, match="encrypted"):
        read(saved(tmp_path, {"ciphertext": "x", "recipients": []}))
    with pytest.raises(RecordingError, match="unheard-of"):
        read(saved(tmp_path, vcon(b"x") | {"critical": ["unheard-of"]}))


@pytest.mark.parametrize("external", [False, True])
def test_a_bundle_becomes_a_vcon_that_reads_back_the_same(tmp_path: Path, external: bool) -> None:
    source = bundle(tmp_path, keys="12")
    target = export(
        source, tmp_path / "out.vcon.json", external=external, url_base="https://store.example/calls/"
    )
    document = json.loads(target.read_text())
    assert document["vcon"] == "0.4.0" and uuid.UUID(document["uuid"]).version == 8
    assert document["parties"][0] == {
        "role": "customer",
        "tel": "+493012345678",
        "name": "Jo Doe",
        "validation": "none",
    }
    (dialog,) = document["dialog"]
    if external:
        assert dialog["url"] == "https://store.example/calls/c0ffee.wav" and "body" not in dialog
        assert dialog["content_hash"] == content_hash((tmp_path / "c0ffee.wav").read_bytes())
    turns = json.loads(document["analysis"][0]["body"])["turns"]
    assert [(line["party"], line["text"]) for line in turns] == [
        (1, "We are open."), (0, "i need an appointment"), (1, "For which day?"), (0, "goodbye"),
    ]  # fmt: skip
    ours, back = read(source), read(target)
    assert np.array_equal(ours.caller, back.caller) and ours.keys == back.keys
    assert [one.text for one in back.utterances] == [one.text for one in ours.utterances]
    for one, two in zip(ours.utterances, back.utterances, strict=True):
        assert abs(one.start_s - two.start_s) < 0.12 and one.follows == two.follows
    assert (
        export(source, tmp_path / "again.vcon.json")
        and json.loads((tmp_path / "again.vcon.json").read_text())["uuid"] == document["uuid"]
    )


def test_an_exported_call_comes_back_as_the_bundle_it_was(tmp_path: Path) -> None:
    source = bundle(tmp_path / "calls")
    target = export(source, tmp_path / "out.vcon.json")
    path = store(target, read(target), tmp_path / "imported")
    before, after = Record.read(source), Record.read(path)
    assert path.name == "c0ffee" and before.events == after.events
    assert transcript(before) == transcript(after)
    assert {key: after.facts[key] for key in ("caller", "agent", "started")} == {
        key: before.facts[key] for key in ("caller", "agent", "started")
    }
    assert np.array_equal(read(path).caller, sides()[0])
    imported = read(path).agent
    assert imported is not None and np.array_equal(imported, sides()[1])


def test_a_foreign_recording_is_imported_with_a_journal_of_what_can_be_heard(tmp_path: Path) -> None:
    path = written(tmp_path, "call.pcap", pcap(Talk().whole("4")))
    found = CliRunner().invoke(app, ["import", str(path), "--calls-dir", str(tmp_path / "calls")])
    assert found.exit_code == 0, found.output
    made = Path(found.stdout.splitlines()[0])
    assert made.parent.name == "2023-11-14"
    imported = read(made)
    same_call(imported)
    assert [key.digit for key in imported.keys] == ["4"]
    assert imported.facts["caller"] == "+4930123456"
    kinds = [event["type"] for event in Record.read(made).events]
    assert kinds.count("AgentSpoke") == 2 and kinds.count("CallerStoppedSpeaking") == 2


def test_a_file_that_cannot_be_read_does_not_keep_the_others_out(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF, and no more")
    path = written(tmp_path, "b.pcap", pcap(Talk().whole("4")))
    found = CliRunner().invoke(
        app, ["import", str(tmp_path / "a.wav"), str(path), "--calls-dir", str(tmp_path / "calls")]
    )
    assert found.exit_code == 1
    assert f"skipped: {tmp_path / 'a.wav'}" in found.stderr
    same_call(read(Path(found.stdout.splitlines()[0])))


def test_export_is_a_command_that_takes_the_beginning_of_an_id(tmp_path: Path) -> None:
    bundle(tmp_path / "calls")
    out = tmp_path / "c.vcon.json"
    done = CliRunner().invoke(
        app, ["export", "--vcon", "c0ff", "--calls-dir", str(tmp_path / "calls"), "--output", str(out)]
    )
    assert done.exit_code == 0, done.output
    same_call(read(out), lag=0.1)
