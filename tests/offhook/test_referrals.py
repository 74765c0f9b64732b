"""Where a trunk may send our calls: nothing that costs money, nowhere but to its own hosts."""

from __future__ import annotations

import pytest

from offhook.access_settings import TrunkSettings
from offhook.switch.referrals import detour
from telephony.call.referred import Detour
from telephony.sip.headers import ReferTo

PBX = TrunkSettings.model_validate(
    {
        "name": "pbx",
        "host": "pbx.example:5070",
        "allow_from": "192.0.2.0/28",
        "user": "bot",
        "password": "geheim",
        "allowed": ["2XX", "+4930*"],
        "caller_id": {"show": "100"},
    }
)
PEER = "203.0.113.9"
WRITTEN = {"sip:desk@elsewhere.example", "300"}


def ask(to: str, trunk: TrunkSettings | None = PBX) -> Detour | int:
    return detour(trunk, PEER, ReferTo.parse(f"<{to}>"), WRITTEN, lambda number: number == "100")


@pytest.mark.parametrize(
    "target",
    ["sip:201@192.0.2.5:5060", "sip:201@203.0.113.9", "sip:201@pbx.example:5070", "sip:100@192.0.2.5"],
)
def test_an_allowed_number_at_the_trunk_is_dialled_as_it_says(target: str) -> None:
    """Its networks, the address that the call comes from, and its proxy; a number of ours is harmless."""
    way = ask(target)
    assert isinstance(way, Detour) and way.target == target
    assert (way.credentials is not None) == ("pbx.example" in target), "our password is for the proxy only"


def test_an_allowed_number_elsewhere_goes_through_the_trunk() -> None:
    """RFC 3261 lets a URI name any host; ours is a guest in the trunk's network and asks its proxy."""
    for target in (
        "sip:+49301234@evil.example",
        "tel:+49-30-1234",
        "sip:+49301234@evil.example;method=INVITE",
    ):
        way = ask(target)
        assert isinstance(way, Detour)
        assert (way.target, way.caller) == ("sip:+49301234@pbx.example:5070", "sip:100@pbx.example")
        assert way.credentials is not None


def test_what_the_plan_names_may_be_gone_to() -> None:
    """`transfer_to` is the author's word, for agents and for the far side."""
    assert ask("sip:desk@elsewhere.example") == Detour("sip:desk@elsewhere.example")
    assert isinstance(ask("sip:300@192.0.2.5"), Detour)


@pytest.mark.parametrize(
    "target",
    ["sip:+19005551234@192.0.2.5", "sip:+19005551234@pbx.example", "sip:anna@192.0.2.5", "sip:192.0.2.5"],
)
def test_other_numbers_are_forbidden(target: str) -> None:
    """Toll fraud: whoever can send a REFER must not choose what we dial."""
    assert ask(target) == 403


def test_without_a_proxy_only_the_hosts_of_the_trunk_are_dialled() -> None:
    office = PBX.model_copy(update={"host": ()})
    assert ask("sip:201@evil.example", office) == 403
    assert isinstance(ask("sip:201@192.0.2.5", office), Detour)


def test_strangers_and_trunks_that_are_told_so_are_declined() -> None:
    """RFC 3515 §2.4.2: 603, also for a target that would be allowed."""
    assert ask("sip:201@192.0.2.5", None) == 603
    assert ask("sip:201@192.0.2.5", PBX.model_copy(update={"refer": "refuse"})) == 603
