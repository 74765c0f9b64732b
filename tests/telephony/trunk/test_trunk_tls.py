"""Signalling over real TLS on loopback, with certificates made here."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from telephony.errors import CallFailed, TransportError
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.digest import Doorkeeper
from telephony.trunk.access import Access, Policy, Trunk
from telephony.trunk.tls import Certificate, Tls, answering, names_in
from tests.telephony.trunk.wire import HOST, FarSide, a_far_side, a_phone


class Authority:
    """A certificate authority and what it has signed, as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.root = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.root))

    def identity(self, *names: str) -> Tls:
        """A phone that bears these names and believes this authority."""
        issued, path = (
            self._ca.issue_cert(*names),
            self._folder / f"{names[0].replace(':', '_').replace('*', 'any')}.pem",
        )
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return Tls(port=0, certificate=path, trust=self.root)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def talk(alice: Phone, bob: Phone, target: str) -> tuple[str, str]:
    """One call. Returns the transport of its Via and its Contact."""
    dialing = asyncio.create_task(alice.dial(target))
    coming = asyncio.ensure_future(anext(bob.calls()))
    await asyncio.wait({dialing, coming}, return_when=asyncio.FIRST_COMPLETED)
    if dialing.done():
        coming.cancel()
        await dialing
    theirs = await coming
    theirs.answer()
    ours = await dialing
    theirs.hang_up()
    await ours.ended()
    return theirs.request.via.transport, theirs.request.get("Contact") or ""


@pytest.mark.parametrize("target", ["sip:100@localhost:{};transport=tls", "sips:100@localhost:{}"])
async def test_two_phones_talk_over_tls(authority: Authority, target: str) -> None:
    """RFC 3261 §26.2.2: the certificate must bear the name that was dialled; sips is answered with sips."""
    async with (
        asyncio.timeout(10),
        a_phone(tls=authority.identity("localhost")) as bob,
        a_phone(tls=authority.identity("alice.example")) as alice,
    ):
        via, contact = await talk(alice, bob, target.format(bob.tls_port))
        assert via == "TLS"
        secure = target.startswith("sips:")
        there = f"offhook@{HOST}:{alice.tls_port}"
        assert contact == (f"<sips:{there}>" if secure else f"<sip:{there};transport=tls>")


async def test_a_phone_without_certificate_may_dial(authority: Authority) -> None:
    """`offhook call sips:...` from anybody's machine."""
    async with (
        asyncio.timeout(10),
        a_phone(tls=authority.identity("localhost")) as bob,
        a_phone(tls=Tls(trust=authority.root)) as alice,
    ):
        assert alice.tls_port == 0
        await talk(alice, bob, f"sips:100@localhost:{bob.tls_port}")


async def test_tls_over_ipv6_believes_a_certificate_for_the_address(authority: Authority) -> None:
    """Row 39: `[::1]` is dialled, `::1` is what the certificate says."""
    async with (
        asyncio.timeout(10),
        a_phone("::1", tls=authority.identity("::1")) as bob,
        a_phone("::1", tls=Tls(trust=authority.root)) as alice,
    ):
        await talk(alice, bob, f"sips:100@[::1]:{bob.tls_port}")


async def test_a_certificate_for_another_name_is_not_believed(authority: Authority) -> None:
    """RFC 5922 §7: or anybody with some certificate could take the call. `verify: false` is the way out."""
    async with asyncio.timeout(10), a_phone(tls=authority.identity("bob.example")) as bob:
        target = f"sips:100@localhost:{bob.tls_port}"
        async with a_phone(tls=Tls(trust=authority.root)) as alice:
            with pytest.raises(CallFailed, match="certificate not believed for 'localhost'") as failed:
                await alice.dial(target)
            assert failed.value.code == 503
        async with a_phone(tls=Tls(verify=False)) as alice:
            await talk(alice, bob, target)


async def test_an_unknown_authority_is_not_believed(authority: Authority) -> None:
    """The system's list decides when nothing else was given."""
    async with (
        asyncio.timeout(10),
        a_phone(tls=authority.identity("localhost")) as bob,
        a_phone(tls=Tls()) as alice,
    ):
        with pytest.raises(CallFailed, match="certificate not believed"):
            await alice.dial(f"sips:100@localhost:{bob.tls_port}")


async def test_a_caller_without_certificate_is_not_heard_where_one_is_required(authority: Authority) -> None:
    """Mutual TLS: the trunk is known by its certificate."""
    server = replace(authority.identity("localhost"), client_ca=authority.root)
    async with asyncio.timeout(10), a_phone(tls=server) as bob:
        target = f"sips:100@localhost:{bob.tls_port}"
        async with a_phone(tls=Tls(trust=authority.root)) as alice:
            with pytest.raises(CallFailed) as failed:
                await alice.dial(target)
            assert (failed.value.code, bob.counters.received) == (503, 0)
        async with a_phone(tls=authority.identity("alice.example")) as alice:
            await talk(alice, bob, target)


async def test_an_optional_certificate_may_be_missing_but_not_false(
    authority: Authority, tmp_path: Path
) -> None:
    """Some trunks show one, some do not; a wrong one is a lie."""
    (tmp_path / "other").mkdir()
    stranger = replace(Authority(tmp_path / "other").identity("mallory.example"), trust=authority.root)
    server = replace(authority.identity("localhost"), client_ca=authority.root, clients="optional")
    async with asyncio.timeout(10), a_phone(tls=server) as bob:
        target = f"sips:100@localhost:{bob.tls_port}"
        async with a_phone(tls=Tls(trust=authority.root)) as alice:
            await talk(alice, bob, target)
        async with a_phone(tls=stranger) as alice:
            with pytest.raises(CallFailed):
                await alice.dial(target)


async def test_plain_text_on_the_tls_port_disturbs_nobody(authority: Authority) -> None:
    """A scanner, or a trunk set to TCP by mistake: its connection ends, calls go on."""
    async with (
        asyncio.timeout(10),
        a_phone(tls=authority.identity("localhost")) as phone,
        a_far_side() as far,
    ):
        reader, far.writer = await asyncio.open_connection(HOST, phone.tls_port)
        far.out(far.request("OPTIONS", 1))
        assert b"SIP/2.0" not in await reader.read()
        await far.hang_up()
        await ask_options(phone, far, authority)


async def ask_options(phone: Phone, far: FarSide, authority: Authority) -> None:
    """A foreign TLS stack asks and is answered on its connection."""
    await far.open(phone, ssl.create_default_context(cafile=str(authority.root)))
    far.out(far.request("OPTIONS", 1).replace(b"/TCP", b"/TLS"))
    await far.response(200)


async def test_without_tls_a_sips_target_is_refused_with_the_remedy() -> None:
    """416 at once, not silence: nothing was sent in the clear."""
    async with a_phone() as phone:
        with pytest.raises(CallFailed, match=r"tls is not spoken here.*Turn sip\.tls on") as failed:
            await phone.dial("sips:100@localhost")
        assert failed.value.code == 416


def test_a_certificate_that_is_none_is_refused_at_start(tmp_path: Path) -> None:
    """Place, fact, remedy, before the first call."""
    with pytest.raises(TransportError, match=r"TLS certificate .*gone\.pem: No such file"):
        answering(Tls(certificate=tmp_path / "gone.pem"))
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not PEM")
    with pytest.raises(TransportError, match=r"wrong\.pem.*Give PEM files"):
        answering(Tls(certificate=wrong))


# ---- several certificates, renewed ones, callers known by theirs


async def test_a_caller_is_shown_the_certificate_of_the_name_it_asks_for(authority: Authority) -> None:
    """RFC 6066 §3 (SNI): one server, several names; whoever asks for another one gets the first."""
    bob, wide = authority.identity("b.example"), authority.identity("*.c.example")
    assert bob.certificate and wide.certificate
    more = (
        Certificate(("b.example",), bob.certificate),
        Certificate(("*.c.example",), wide.certificate),
    )
    server = replace(authority.identity("a.example"), certificates=more)
    async with asyncio.timeout(10), a_phone(tls=server) as phone:
        for asked in ("a.example", "B.example", "sip.c.example"):
            await hello(phone, authority, asked)
        with pytest.raises(ssl.SSLCertVerificationError, match="d.example"):
            await hello(phone, authority, "d.example")


async def hello(phone: Phone, authority: Authority, name: str, **more: Any) -> ssl.SSLObject:
    """A foreign TLS stack connects and wants that name."""
    context = ssl.create_default_context(cafile=str(authority.root))
    for setting, value in more.items():
        setattr(context, setting, value)
    context.set_alpn_protocols(["sip/2"])
    _, writer = await asyncio.open_connection(HOST, phone.tls_port, ssl=context, server_hostname=name)
    secure = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    assert isinstance(secure, ssl.SSLObject)
    return secure


async def test_a_renewed_certificate_is_shown_without_a_restart(authority: Authority) -> None:
    """A server runs longer than its certificate: the next connection has the new one, and a file that is half
    written changes nothing."""
    tls = authority.identity("old.example")
    assert tls.certificate
    async with asyncio.timeout(10), a_phone(tls=tls) as phone:
        await hello(phone, authority, "old.example")
        old = tls.certificate.read_bytes()
        tls.certificate.write_bytes(old[: len(old) // 2])
        await hello(phone, authority, "old.example")
        renewed = authority.identity("new.example").certificate
        assert renewed
        tls.certificate.write_bytes(renewed.read_bytes())
        await hello(phone, authority, "new.example")


async def test_nothing_older_than_tls_1_2_is_spoken(authority: Authority) -> None:
    """RFC 8996."""
    async with asyncio.timeout(10), a_phone(tls=authority.identity("localhost")) as phone:
        assert (await hello(phone, authority, "localhost")).version() in ("TLSv1.2", "TLSv1.3")
        with pytest.raises((ssl.SSLError, OSError)), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old = ssl.TLSVersion.TLSv1_1
            await hello(phone, authority, "localhost", minimum_version=old, maximum_version=old)


@pytest.mark.parametrize(("alpn", "agreed"), [(True, "sip/2"), (False, None)])
async def test_sip_is_named_as_the_protocol_if_the_operator_wants_it(
    authority: Authority, alpn: bool, agreed: str | None
) -> None:
    """RFC 7301: some session border controllers insist on it, others break."""
    server = replace(authority.identity("localhost"), alpn=alpn)
    async with asyncio.timeout(10), a_phone(tls=server) as phone:
        assert (await hello(phone, authority, "localhost")).selected_alpn_protocol() == agreed


async def test_a_trunk_is_known_by_the_name_in_its_certificate(authority: Authority) -> None:
    """RFC 5922 §7: from whatever address; a certificate of the same authority for another name is a stranger's."""
    server = replace(authority.identity("localhost"), client_ca=authority.root)
    gate = Access(
        [Trunk("pbx", tls_name="pbx.example")],
        Policy(strangers="reject"),
        Doorkeeper("offhook", b"secret"),
        asyncio.get_running_loop().time(),
    )
    phone = Phone(host=HOST, port=0, ports=PortPool(HOST, 24000, 24400), tls=server)
    phone.access, phone.goodbye_s = gate, 0.5
    async with asyncio.timeout(10), phone:
        target = f"sips:100@localhost:{phone.tls_port}"
        async with a_phone(tls=authority.identity("pbx.example")) as pbx:
            dialing = asyncio.create_task(pbx.dial(target))
            call = await anext(phone.calls())
            assert call.sender.trunk == "pbx"
            call.answer()
            (await dialing).hang_up()
        async with a_phone(tls=authority.identity("other.example")) as other:
            with pytest.raises(CallFailed) as failed:
                await other.dial(target)
            assert failed.value.code == 403


def test_the_common_name_counts_only_where_there_is_no_other() -> None:
    """RFC 5922 §7.1: DNS names and `sip:host`, never `sip:user@host`; without any, the common name."""
    subject = ((("countryName", "DE"),), (("commonName", "Old.example"),))
    assert names_in({"subject": subject}) == ("old.example",)
    names = (("DNS", "pbx.example"), ("URI", "sip:SBC.example"), ("URI", "sip:anna@pbx.example"))
    assert names_in({"subject": subject, "subjectAltName": names}) == ("pbx.example", "sbc.example")
    assert names_in(None) == names_in({}) == ()
