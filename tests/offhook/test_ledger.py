"""Where a call stands, in memory: written row by row, read by another process, whatever the first one left of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from offhook.switch.ledger import MOST_BYTES, Ledger, LedgerError, read

STANDS = {"stands": {"leg": "TALKING", "caller": "ümlaut \udcff"}}


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger.create()
    yield ledger
    ledger.close()


def test_rows_come_back_in_order_bytes_of_peers_included(ledger: Ledger) -> None:
    ledger.append({"route": {"agent": "a"}})
    ledger.append(STANDS)
    assert read(ledger.fd) == ([{"route": {"agent": "a"}}, STANDS], "")


def test_a_row_that_was_cut_off_does_not_count_and_those_before_it_do(ledger: Ledger) -> None:
    """The switch was killed in the middle of it."""
    ledger.append(STANDS)
    whole = ledger.size
    ledger.append({"stands": {"leg": "OVER"}})
    for size in range(whole + 1, ledger.size - 1):
        os.ftruncate(ledger.fd, size)
        rows, damage = read(ledger.fd)
        assert rows == [STANDS]
        assert damage == "row 2 of it is torn; what stood before counts"


def test_a_row_with_a_wrong_sum_does_not_count(ledger: Ledger) -> None:
    ledger.append(STANDS)
    os.pwrite(ledger.fd, b"X", ledger.size - 3)
    assert read(ledger.fd) == ([], "row 1 of it is torn; what stood before counts")


def test_what_another_version_has_written_is_refused_by_name(ledger: Ledger) -> None:
    os.pwrite(ledger.fd, b"offhook call 9\n", 0)
    with pytest.raises(
        LedgerError, match="begins with b'offhook call 9', not 'offhook call 1': another version"
    ):
        read(ledger.fd)


def test_memory_that_was_never_written_is_refused() -> None:
    fd = os.memfd_create("empty")
    try:
        with pytest.raises(LedgerError, match="another version"):
            read(fd)
    finally:
        os.close(fd)


def test_it_is_full_when_most_of_it_counts_no_more(ledger: Ledger) -> None:
    """A long call writes the same things again and again."""
    ledger.append({"said": "x" * 1000})
    ledger.begun()
    while not ledger.full:
        ledger.append({"said": "x" * 10_000})
    assert MOST_BYTES < ledger.size < MOST_BYTES + 20_000
