"""Keys pressed on a phone, as one entry."""

from __future__ import annotations

import pytest

from pipeline.hearing.keys import KeyEntry


@pytest.mark.parametrize(("keys", "entry"), [("42#", "42"), ("#", "#"), ("1*#", "1*"), ("0#", "0")])
def test_a_hash_ends_the_entry_at_once_and_is_no_part_of_it(keys: str, entry: str) -> None:
    entered = KeyEntry(2.0)
    for at, key in enumerate(keys):
        assert entered.take(at / 10) == ""
        entered.press(key, at / 10)
    assert entered.take(len(keys) / 10) == entry
    assert entered.take(100.0) == "", "once"


def test_a_pause_ends_the_entry_and_every_key_restarts_it() -> None:
    entered = KeyEntry(2.0)
    entered.press("7", 1.0)
    entered.press("8", 2.5)
    assert entered.take(4.4) == ""
    assert entered.take(4.5) == "78"
