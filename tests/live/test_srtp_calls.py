"""Encrypted calls: PJSIP and our own softphone against the server, who is refused, and what a call leaves behind."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path

import pytest
import trustme

from telephony.errors import CallFailed
from telephony.media.crypto import Guard
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sdp.plan import Srtp
from tests.live.peers import PjsipPhone
from tests.live.server import CONSOLE, REPOSITORY, running_server
from tests.live.sound import ULAW_TO_LINEAR

SHA80 = "AES_CM_128_HMAC_SHA1_80"
REQUIRED = "trunks: [{name: office, allow_from: 127.0.0.0/8, srtp: required}]\nlog: {level: debug}\n"
GREETING_PACKETS = 150


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server that is started now takes calls over TLS, with a certificate of this authority."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    identity = ca.issue_cert("127.0.0.1")
    identity.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "phone.pem"))
    monkeypatch.setenv("OFFHOOK_SIP__TLS__PORT", "0")
    monkeypatch.setenv("OFFHOOK_SIP__TLS__CERTIFICATE", str(tmp_path / "phone.pem"))
    return tmp_path / "ca.pem"


async def test_pjsip_requires_srtp_over_tls_and_is_understood(
    tmp_path: Path, authority: Path, recordings: Path
) -> None:
    """Row 51: a foreign libsrtp and RTP/SAVP; hold and resume, which offer the keys again; digits."""
    async with (
        running_server(tmp_path, spares=0, workers=1, settings=REQUIRED) as server,
        PjsipPhone(transport="tls", trust=authority, srtp="required") as phone,
    ):
        await phone.call(server.uri(transport="tls"))
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        await phone.listen()  # the greeting
        await phone.hold()
        await phone.event("media_off")
        await phone.resume()
        await phone.event("media")
        await phone.say(recordings / "opening_hours.wav")
        await phone.listen()
        await phone.hang_up()
        await phone.event("disconnected")
        call = await server.last_call()
        facts = await server.finished(call)
    assert [turn["text"] for turn in call.of("UserTurnCommitted")] == ["what are your opening hours"], (
        call.story()
    )
    media = facts["media"]
    assert media["srtp"].startswith(("AES_CM_128", "AEAD_AES"))
    assert (media["unauthenticated"], media["replayed"], facts["trunk"]) == (0, 0, "office")


@pytest.mark.parametrize(("theirs", "encrypted"), [("optional", True), ("off", False)])
async def test_pjsip_is_answered_in_kind_over_udp(tmp_path: Path, theirs: str, encrypted: bool) -> None:
    """Row 51: RTP/AVP with keys (RFC 8643), and without, at a server that is set up for nothing."""
    async with running_server(tmp_path, spares=0, workers=1) as server, PjsipPhone(srtp=theirs) as phone:
        await phone.call(server.uri())
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        await phone.listen()
        await phone.hang_up()
        await phone.event("disconnected")
        facts = await server.finished(await server.last_call())
    assert bool(facts["media"]["srtp"]) is encrypted
    assert facts["media"]["unauthenticated"] == 0


async def test_a_plain_phone_is_refused_where_keys_are_required(tmp_path: Path) -> None:
    """Row 51: 488 at the trunk that wants SRTP."""
    async with (
        running_server(tmp_path, spares=0, workers=1, settings=REQUIRED) as server,
        PjsipPhone() as phone,
    ):
        await phone.call(server.uri())
        assert (await phone.event("disconnected", timeout=20))["code"] == 488


async def test_our_softphone_requires_keys_of_our_server(tmp_path: Path, recordings: Path) -> None:
    """`offhook call --srtp required`, and the conversation is had."""
    async with running_server(tmp_path, spares=0, workers=1, settings=REQUIRED) as server:
        words = ["call", server.uri(), "--srtp", "required", "--say", str(recordings / "opening_hours.wav")]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "offhook", *words, "--wait-for-silence", cwd=REPOSITORY
        )
        async with asyncio.timeout(60):
            assert await process.wait() == 0
        call = await server.last_call()
        facts = await server.finished(call)
    assert [turn["text"] for turn in call.of("UserTurnCommitted")] == ["what are your opening hours"], (
        call.story()
    )
    assert facts["media"]["srtp"] == SHA80


async def test_who_requires_keys_does_not_talk_to_a_server_without(tmp_path: Path) -> None:
    """Row 51: RTP/SAVP is refused with 488 when SRTP is off."""
    async with (
        running_server(tmp_path, spares=0, workers=1, settings=REQUIRED.replace("required", "off")) as server,
        Phone(ports=PortPool("127.0.0.1", 20000, 20100), port=0, srtp="required") as phone,
    ):
        with pytest.raises(CallFailed) as refused:
            await phone.dial(server.uri(), timeout=20)
        assert refused.value.code == 488


async def test_the_wire_carries_no_speech_and_the_call_leaves_no_key_behind(tmp_path: Path) -> None:
    """Row 51: the sound of the greeting needs the key; log, journal, call.json, database and recording have none."""
    async with running_server(tmp_path, spares=0, console=CONSOLE, workers=1, settings=REQUIRED) as server:
        async with Phone(ports=PortPool("127.0.0.1", 20000, 20100), port=0, srtp="required") as phone:
            call = await phone.dial(server.uri(), timeout=20)
            assert call.rtp is not None and call.plan is not None and call.plan.srtp is not None
            keys, shown = call.plan.srtp, repr((call.plan, call))
            await call.hold()
            await call.resume()
            assert call.plan.srtp == keys
            packets = await _received(call.rtp.rtp.fileno(), GREETING_PACKETS)
            call.hang_up()
            await call.ended()
        await server.finished(await server.last_call())
    _is_speech_only_with_the_key(packets, keys)
    _no_trace_of(keys, tmp_path, [shown, *server.log])


def _no_trace_of(keys: Srtp, folder: Path, lines: list[str]) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"call.json", "journal.jsonl", "audio.wav", "offhook.db"} <= {path.name for path in files}
    left = ["\n".join(lines).encode(), *(path.read_bytes() for path in files)]
    for key in (keys.send_key, keys.receive_key):
        raw = base64.b64decode(key)
        for secret in (key.encode(), raw, raw.hex().encode(), repr(raw)[2:-1].encode()):
            assert not any(secret in text for text in left)


def _is_speech_only_with_the_key(packets: list[bytes], keys: Srtp) -> None:
    guard = Guard(keys)
    clear = [found for packet in packets if (found := guard.unprotect(packet))]
    assert len(clear) == len(packets)
    spoken, noise = [_loudness(packet[12:]) for packet in clear], [_loudness(p[12:-10]) for p in packets]
    assert min(spoken) < 100 and max(spoken) > 400, "words and pauses"
    assert min(noise) > 2500, "random bytes as mu-law: loud from first to last"


def _loudness(payload: bytes) -> float:
    return sum(abs(ULAW_TO_LINEAR[code]) for code in payload) / len(payload)


async def _received(descriptor: int, count: int) -> list[bytes]:
    """The next datagrams, as they are on the wire. descriptor: of a socket that does not block."""
    loop, packets = asyncio.get_running_loop(), []
    full: asyncio.Future[None] = loop.create_future()

    def read() -> None:
        packets.append(os.read(descriptor, 2048))
        if len(packets) == count and not full.done():
            full.set_result(None)

    loop.add_reader(descriptor, read)
    try:
        async with asyncio.timeout(20):
            await full
    finally:
        loop.remove_reader(descriptor)
    return packets[:count]
