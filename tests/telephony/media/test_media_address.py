"""A media address by name is looked up before the clock sees it."""

from __future__ import annotations

import pytest

from telephony.errors import MediaError
from telephony.media.address import is_numeric, looked_up
from telephony.sdp.plan import MediaPlan


def _plan(host: str) -> MediaPlan:
    return MediaPlan("PCMU", 8000, 8000, 0, {0: "PCMU"}, (host, 4000))


@pytest.mark.parametrize(
    ("host", "numeric"), [("127.0.0.1", True), ("::1", True), ("localhost", False), ("", False)]
)
def test_only_an_address_may_reach_the_clock(host: str, numeric: bool) -> None:
    assert is_numeric(_plan(host)) is numeric


async def test_a_name_becomes_an_address_and_nothing_else_changes() -> None:
    """RFC 8866 §5.7: c=IN IP4 may carry a host name (row 50)."""
    assert await looked_up(_plan("localhost")) == _plan("127.0.0.1")


async def test_a_name_that_does_not_exist_is_an_error_with_the_name() -> None:
    with pytest.raises(MediaError, match="'no.such.host.invalid'"):
        await looked_up(_plan("no.such.host.invalid"))
