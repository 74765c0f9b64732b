"""URIs as phones and carriers write them."""

from __future__ import annotations

import pytest

from telephony.errors import SipSyntaxError
from telephony.sip.uri import Uri, readable, split_host_port


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@example.com",
        "sips:alice:secret@example.com:5061;transport=tcp;lr?Subject=a%20b&X=",
        "sip:%2B4930123@node1",
        "sip:+49301;npdi;rn=+4930@sip_gw.k8s;user=phone",
        "sip:*21#@192.0.2.1",
        "sip:1@[2001:db8::1]:5060;transport=udp",
        "sip:example.com",
        "sip:a?b/c@example.com",
        "sip:" + "7" * 64 + "@h",
        "tel:+49-30-1234",
        "tel:7042;phone-context=example.com",
        "urn:service:sos",
    ],
)
def test_a_uri_is_written_as_it_came(text: str) -> None:
    """Row 40: RFC 3261 §19.1: peers compare by text, so escapes and separators stay."""
    assert str(Uri.parse(text)).rstrip("=") == text.rstrip("=")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("sip:%2B49%2030@h", "+4930"),
        ("sip:+49301;npdi;rn=+4930@h", "+49301"),
        ("sip:+1-(201)-555.0123@h", "+12015550123"),
        ("sip:030-123@h;user=phone", "030123"),
        ("tel:+49-30-1234;ext=5", "+49301234"),
        ("sip:john.doe@h", "john.doe"),
        ("sip:*21#@h", "*21#"),
        ("sip:%2a21%23@h", "*21#"),
        ("sip:100:secret@h", "100"),
        ("sip:j%F6rg@h", "jörg"),
        ("sip:bad%zz%@h", "bad%zz%"),
        ("sip:h", ""),
        ("sip:@h", ""),
    ],
)
def test_the_dialled_number(text: str, number: str) -> None:
    """Row 40: RFC 3261 §19.1.2, RFC 3966 §5.1.1, RFC 4694 for npdi and rn."""
    assert Uri.parse(text).number == number


def test_parameters_of_the_number_are_not_those_of_the_uri() -> None:
    """RFC 3261 §19.1.6."""
    uri = Uri.parse("sip:7042;phone-context=+4930;npdi@h;user=phone;LR")
    assert uri.number_params == {"phone-context": "+4930", "npdi": None}
    assert uri.params == {"user": "phone", "lr": None}
    assert uri.loose
    assert Uri.parse("tel:7042;phone-context=x.de").number_params == {"phone-context": "x.de"}


@pytest.mark.parametrize(
    "text",
    ["", "alice", "sip:", "sip:a@", "sip:a@b:70000", "sip:a@b:x", "sip:a@b c", "tel:", "sip:a@[::1", ":x"],
)
def test_what_cannot_be_dialled_is_refused(text: str) -> None:
    """RFC 4475 §3.1.2."""
    with pytest.raises(SipSyntaxError):
        Uri.parse(text)


def test_a_user_that_holds_a_whole_address_is_kept() -> None:
    """`sip:user@domain@proxy`, as some registrars write it; the last @ is the divider."""
    uri = Uri.parse("sip:alice@example.com@proxy:5080;lr")
    assert (uri.user, uri.host, uri.port) == ("alice@example.com", "proxy", 5080)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sip:%61lice@EXAMPLE.com;Transport=TCP", "sip:alice@example.com;transport=tcp", True),
        ("sip:%2B49@h", "sip:+49@h", True),
        ("sip:a@h;newparam=5", "sip:a@h;security=on", True),
        ("sip:a@h?Subject=x&Priority=y", "sip:a@h?priority=y&subject=x", True),
        ("sip:A@h", "sip:a@h", False),
        ("sip:a@h", "sip:a@h:5060", False),
        ("sip:a@h", "sip:a@h;transport=udp", False),
        ("sip:a@h;x=1", "sip:a@h;x=2", False),
        ("sip:a@h", "sips:a@h", False),
        ("sip:a@h?Subject=x", "sip:a@h", False),
    ],
)
def test_equality_of_uris(one: str, other: str, same: bool) -> None:
    """Row 40: RFC 3261 §19.1.4, the examples there."""
    assert Uri.parse(one).same_as(Uri.parse(other)) is same
    assert Uri.parse(other).same_as(Uri.parse(one)) is same


def test_where_to_send_when_nothing_else_is_known() -> None:
    """RFC 3261 §19.1.2."""
    assert Uri.parse("sip:a@h").address == ("h", 5060)
    assert Uri.parse("sips:a@[::1]").address == ("::1", 5061)
    assert Uri.parse("sip:a@h:5070;transport=TLS").transport == "tls"


def test_hosts_and_ports() -> None:
    """RFC 3261 §25.1 and RFC 5118, with the names of containers that the grammar forbids."""
    assert split_host_port("asterisk_2.k8s:5080") == ("asterisk_2.k8s", 5080)
    assert split_host_port("[::1]:5060") == ("::1", 5060)
    assert split_host_port("2001:db8::1") == ("2001:db8::1", None)
    assert split_host_port("host:") == ("host", None)
    for text in ("", ":5060", "a b", "[::1", "host:x", "::1:x"):
        with pytest.raises(SipSyntaxError):
            split_host_port(text)


def test_stray_bytes_become_readable() -> None:
    """What goes into JSON and logs must be encodable."""
    assert readable(b"J\xf6rg".decode("utf-8", "surrogateescape")) == "Jörg"
    assert readable("Jörg") == "Jörg"
