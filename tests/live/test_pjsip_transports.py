"""PJSIP, a mature SIP stack that is not ours, phones the server over TCP and over TLS."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.live.peers import PjsipPhone
from tests.live.server import running_server


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


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_pjsip_talks_to_us_over_a_connection(tmp_path: Path, authority: Path, transport: str) -> None:
    """Rows 16, 37: PJSIP finds us by our Contact for hold and resume, and hears the greeting."""
    trust = authority if transport == "tls" else None
    async with (
        running_server(tmp_path, spares=0, workers=1) as server,
        PjsipPhone(transport=transport, trust=trust) as phone,
    ):
        await phone.call(server.uri(transport=transport))
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        await phone.listen()  # the greeting
        await phone.hold()
        await phone.event("media_off")
        await phone.resume()
        await phone.event("media")
        await phone.hang_up()
        await phone.event("disconnected")
        facts = await server.finished(await server.last_call())
        assert facts["ended_by"] == "caller"


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_our_goodbye_reaches_pjsip_over_its_connection(
    tmp_path: Path, authority: Path, transport: str
) -> None:
    """Row 37: the BYE takes the connection that PJSIP opened."""
    trust = authority if transport == "tls" else None
    async with PjsipPhone(transport=transport, trust=trust) as phone:
        async with running_server(tmp_path, spares=0, workers=1) as server:
            await phone.call(server.uri(transport=transport))
            await phone.event("media", timeout=20)
        assert (await phone.event("disconnected"))["code"] == 200


async def test_pjsip_does_not_believe_a_stranger(tmp_path: Path, authority: Path) -> None:
    """The certificate is what PJSIP judges us by: signed by another authority, no call."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    async with (
        running_server(tmp_path, spares=0, workers=1) as server,
        PjsipPhone(transport="tls", trust=other) as phone,
    ):
        await phone.call(server.uri(transport="tls"))
        assert (await phone.event("disconnected", timeout=20))["code"] == 503
        assert server.calls() == []
