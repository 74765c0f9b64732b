"""Trunks and access in the settings, and what the switch makes of them."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from offhook.access_settings import TrunkSettings
from offhook.settings import Settings, load_settings
from offhook.switch.metrics import Metrics
from offhook.switch.trunks import Trunks, way_out
from telephony.dialplan.document import FileProblems
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.message import Request
from telephony.sip.screening import Refusal, Vouched
from telephony.sip.transaction import Flow
from telephony.trunk.outbound import dialling

SHIPPED = Path(__file__).parents[2] / "config" / "offhook.yaml"
TRUNKS = """
trunks:
  - name: carrier
    host: 203.0.113.10:5080
    allow_from: 198.51.100.0/24
    user: "4930123456"
    auth_user: bot-7
    password_env: CARRIER_PASSWORD
    register: yes
    codecs: [pcma]
    srtp: required
    max_calls: 30
    caller_id: {show: "+4930123456", believe: no}
    allowed: ["+49*"]
  - {name: home, user: anna, password_env: ANNA, challenge: yes}
"""
SECRETS = {"CARRIER_PASSWORD": "geheim", "ANNA": "hidden"}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "offhook.yaml"
    path.write_text(text)
    return path


def problems(path: Path, **environ: str) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        load_settings(path, environ=environ)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def test_a_trunk_is_read_with_its_password_from_the_environment(tmp_path: Path) -> None:
    carrier, home = load_settings(written(tmp_path, TRUNKS), environ=SECRETS).trunks
    assert carrier.registers and carrier.codecs == ("PCMA",) and carrier.allow_from == ("198.51.100.0/24",)
    assert carrier.password.get_secret_value() == "geheim" and "geheim" not in repr(carrier)
    assert home.challenge and not home.registers
    way = way_out(carrier)
    assert way.credentials is not None and way.credentials.user == "bot-7"
    assert dialling(way, "+4940").target == "sip:+4940@203.0.113.10:5080"


def test_a_trunk_may_want_lines_of_its_own_on_every_call(tmp_path: Path) -> None:
    """Some carriers tell customers apart by a header."""
    text = "trunks: [{name: a, host: 203.0.113.10, allowed: ['+49*'], headers: {X-Customer: '4711'}}]\n"
    (trunk,) = load_settings(written(tmp_path, text), environ={}).trunks
    assert dialling(way_out(trunk), "+4940").headers == (("X-Customer", "4711"),)


def test_the_example_in_the_shipped_file_can_be_used_as_it_stands(tmp_path: Path) -> None:
    """Operators uncomment it; a mistake in it would be theirs to find."""
    lines = SHIPPED.read_text().splitlines()
    at = lines.index("# trunks:")
    end = next(n for n in range(at, len(lines)) if not lines[n].startswith("#"))
    text = "\n".join(line.removeprefix("# ") for line in lines[at:end])
    (trunk,) = load_settings(written(tmp_path, text), environ={"CARRIER_PASSWORD": "x"}).trunks
    assert (trunk.name, trunk.registers, trunk.allowed) == ("carrier", True, ("+49*", "0ZX*"))


def test_every_mistake_in_a_trunk_is_named_with_its_line(tmp_path: Path) -> None:
    text = """trunks:
  - {name: a, allow_from: 203.0.113.1/24}
  - {name: b, codecs: [PCMA, G729]}
  - {name: c, registre: yes}
  - {name: d, register: yes, user: u}
  - {name: e, password: geheim}
  - {name: f, user: u, password_env: MISSING}
  - {name: g, challenge: yes}
  - {name: h, allowed: ["+49y"]}
  - {name: i, keepalive_s: 30}
  - {name: j, headers: {Contact: "<sip:me@example.com>"}}
access: {strangers: maybe, codes: {busy: 200}}
"""
    found = problems(written(tmp_path, text))
    assert [int(line.split(":")[0]) for line in found] == [*range(2, 12), 12, 12]
    assert "has host bits set" in found[0] and "Write it like 203.0.113.0/24." in found[0]
    assert "no codec 'G729'. Known:" in found[1]
    assert found[2].endswith("unknown key 'registre'. Did you mean 'register'?")
    assert found[3].endswith("trunk 'd': `register` needs host and user. Add them.")
    assert "Put it into .env" in found[4] and "geheim" not in found[4]
    assert "no variable 'MISSING' in the environment or .env." in found[5]
    assert found[6].endswith("trunk 'g': a login needs user and password_env. Add them.")
    assert found[8].endswith("trunk 'i': `keepalive_s` needs a host to ask. Add it.")
    assert "header Contact is written by Offhook. Leave it out." in found[9]
    assert found[10].endswith("'strangers' is 'maybe'. Allowed: accept, lan, reject or drop.")


def test_two_trunks_of_one_name_are_refused(tmp_path: Path) -> None:
    """Records, limits and metrics go by the name."""
    (found,) = problems(written(tmp_path, "trunks: [{name: a}, {name: a}]\n"))
    assert "two trunks are named 'a'" in found


def test_without_trunks_the_local_network_rings_and_with_one_strangers_are_ignored() -> None:
    """A newcomer's softphone works at once; a server with a carrier does not answer the internet."""
    assert Settings().strangers == "lan"
    carrier = TrunkSettings(name="carrier", allow_from=("203.0.113.0/24",))
    assert Settings(trunks=(carrier,)).strangers == "drop"
    assert Settings.model_validate({"trunks": [carrier], "access": {"strangers": "lan"}}).strangers == "lan"


async def test_the_switch_lets_in_whom_the_settings_name(tmp_path: Path) -> None:
    """An address as `host` may ring, and so may the networks beside it."""
    settings = load_settings(written(tmp_path, TRUNKS), environ=SECRETS)
    metrics = Metrics()
    trunks = Trunks(settings, metrics)
    request = Request("INVITE", "sip:100@offhook.example")

    def knock(host: str) -> Vouched | Refusal | None:
        return trunks.access.judge(request, Flow("udp", (host, 5060)), 1.0)

    assert (
        knock("203.0.113.10")
        == knock("198.51.100.7")
        == Vouched("carrier", trusted=False, contact_user="4930123456")
    )
    stranger = knock("192.0.2.1")
    assert isinstance(stranger, Refusal) and stranger.status == 401, "it may be anna, phoning from home"
    trunks.count()
    assert b'offhook_sip_gate{verdict="welcome"} 2.0' in metrics.text()
    assert trunks.access.trunks["carrier"].codecs == ("PCMA",)
    assert [trunk.srtp for trunk in trunks.access.trunks.values()] == ["required", None]


def test_sound_is_encrypted_with_whoever_can_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    """Row 51: optional costs plain callers nothing; anything but the three words is an error."""
    assert Settings().sip.srtp == "optional"
    assert load_settings(written(tmp_path, "sip: {srtp: off}\n"), environ={}).sip.srtp == "off"
    assert load_settings(SHIPPED, environ={"OFFHOOK_SIP__SRTP": "required"}).sip.srtp == "required"
    (found,) = problems(written(tmp_path, "sip: {srtp: maybe}\n"))
    assert found.endswith("'srtp' is 'maybe'. Allowed: off, optional or required.")


async def test_a_trunk_is_asked_whether_it_is_there_and_the_metrics_tell() -> None:
    """RFC 3261 §11: one that answers is up whatever it says, one that cannot be reached is down."""
    async with asyncio.timeout(10), a_phone() as carrier, a_phone() as phone:
        asked, often = itertools.count(1), asyncio.Event()

        def busy() -> int:
            if next(asked) == 3:
                often.set()
            return 503

        carrier.options_status = busy
        metrics = Metrics()
        there = TrunkSettings(name="there", host=(f"127.0.0.1:{carrier.address[1]}",), keepalive_s=0.01)
        gone = TrunkSettings(
            name="gone", host=("[::1]:5060",), keepalive_s=0.01
        )  # no way from an IPv4 socket
        quiet = TrunkSettings(name="quiet", host=("127.0.0.1",))
        async with Trunks(Settings(trunks=(there, gone, quiet)), metrics).open(phone):
            await often.wait()
        assert b'offhook_trunk_up{trunk="there"} 1.0' in metrics.text()
        assert b'offhook_trunk_up{trunk="gone"} 0.0' in metrics.text()
        assert b'trunk="quiet"' not in metrics.text()


def a_phone() -> Phone:
    return Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 26000, 26010))
