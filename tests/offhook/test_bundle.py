"""A call's record on disk survives the process that wrote it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.bundle import Bundle, Line, Record, bundles, iso, transcript
from offhook.errors import BundleError

NOON = datetime(2026, 3, 4, 12, 0, 0, 250_000, tzinfo=UTC)
FACTS = {"direction": "inbound", "caller": "+15550100", "called": "100", "plan_version": "7"}


class Calls:
    """Calls in progress below one folder; their journals are closed when the test is over."""

    def __init__(self, root: Path, closing: ExitStack) -> None:
        self.root = root
        self.closing = closing

    def take(
        self, call_id: str = "c1", events: Sequence[dict[str, Any]] = (), started: datetime = NOON
    ) -> Bundle:
        """A call with one second between its events, the first at loop time 50."""
        bundle = self.closing.enter_context(Bundle.create(self.root, call_id, started, FACTS))
        for number, event in enumerate(events):
            bundle.append(event, at=event.get("at", 50.0 + number), wall=NOON + timedelta(seconds=number))
        return bundle


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[Calls]:
    with ExitStack() as closing:
        yield Calls(tmp_path, closing)


def test_a_call_lies_in_the_folder_of_the_utc_day_it_began(calls: Calls, tmp_path: Path) -> None:
    """Half past midnight in Paris is still the day before in UTC."""
    started = datetime.fromisoformat("2026-03-05T00:30:00+01:00")
    bundle = calls.take(started=started)
    assert bundle.path == tmp_path / "2026-03-04" / "c1"
    assert Bundle.open(bundle.path).facts == FACTS | {"id": "c1", "started": "2026-03-04T23:30:00.000Z"}


def test_other_users_of_the_machine_cannot_look_into_a_call(calls: Calls) -> None:
    """Whatever the modes of the files in it: transcript and recording are personal data."""
    before = os.umask(0)
    try:
        assert calls.take().path.stat().st_mode & 0o777 == 0o750
    finally:
        os.umask(before)


def test_events_come_back_in_order_with_loop_and_wall_time(calls: Calls) -> None:
    """Fields the writer knows nothing about are kept as they are."""
    bundle = calls.take(events=[{"type": "LegAnswered", "code": 200}, {"type": "New", "x": [1, None]}])
    assert Bundle.open(bundle.path).events == (
        {"at": 50.0, "wall": "2026-03-04T12:00:00.250Z", "type": "LegAnswered", "code": 200},
        {"at": 51.0, "wall": "2026-03-04T12:00:01.250Z", "type": "New", "x": [1, None]},
    )


def test_closing_adds_how_the_call_ended_and_the_first_outcome_stays(calls: Calls) -> None:
    """A BYE that crosses ours must not rewrite who hung up."""
    bundle = calls.take()
    assert not Bundle.open(bundle.path).ended
    bundle.close({"ended": iso(NOON), "duration_s": 3.5, "ended_by": "caller", "code": 200, "cause": "bye"})
    bundle.close({"ended": iso(NOON), "ended_by": "agent"})
    record = Bundle.open(bundle.path)
    assert record.ended
    assert record.facts["ended_by"] == "caller"
    assert record.facts["caller"] == FACTS["caller"]


def test_a_killed_process_loses_no_event_it_had_written(tmp_path: Path) -> None:
    """SIGKILL runs no handler and flushes no buffer."""
    script = (
        "import os, signal, sys\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "from offhook.bundle import Bundle\n"
        "now = datetime(2026, 3, 4, tzinfo=UTC)\n"
        "bundle = Bundle.create(Path(sys.argv[1]), 'c1', now, {})\n"
        "for n in range(1000): bundle.append({'type': 'KeyPressed', 'digit': str(n)}, float(n), now)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    record = Bundle.open(tmp_path / "2026-03-04" / "c1")
    assert [event["digit"] for event in record.events] == [str(n) for n in range(1000)]
    assert record.damage == ()
    assert not record.ended


def test_a_torn_last_line_is_skipped_and_told(calls: Calls) -> None:
    """A machine that lost power leaves half a line; the call before it is readable."""
    bundle = calls.take(events=[{"type": "KeyPressed", "digit": "1"}])
    with (bundle.path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"at":51.0,"wall":"2026-03-04T12:0')
    record = Bundle.open(bundle.path)
    assert [event["type"] for event in record.events] == ["KeyPressed"]
    assert record.damage == (
        f"{bundle.path}/journal.jsonl:2: cut off: the process died while writing it; skipped",
    )


def test_a_bad_line_in_the_middle_does_not_hide_what_follows(calls: Calls) -> None:
    """Zeros are what a file system may leave of a block that never reached the disk."""
    bundle = calls.take(events=[{"type": "A"}])
    with (bundle.path / "journal.jsonl").open("ab") as journal:
        journal.write(b"\0" * 20 + b'\n[1]\n{"type":"NoTime"}\n')
    bundle.append({"type": "B"}, at=52.0, wall=NOON)
    record = Bundle.open(bundle.path)
    assert [event["type"] for event in record.events] == ["A", "B"]
    assert [problem.partition("jsonl:")[2] for problem in record.damage] == [
        "2: not an event; skipped",
        "3: not an event; skipped",
        "4: not an event; skipped",
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_loses_events_but_not_the_call(calls: Calls, tmp_path: Path) -> None:
    """/dev/full answers every write with ENOSPC, as a full disk does."""
    folder = tmp_path / "2026-03-04" / "c1"
    bundle = calls.take(events=[{"type": "A"}])
    os.dup2(full := os.open("/dev/full", os.O_WRONLY), bundle.fileno())
    os.close(full)
    bundle.append({"type": "B"}, at=51.0, wall=NOON)
    bundle.append({"type": "C"}, at=52.0, wall=NOON)
    assert bundle.lost == 2
    assert bundle.problem is not None
    assert bundle.problem.errno == errno.ENOSPC
    bundle.close({"ended": iso(NOON)})
    record = Bundle.open(folder)
    assert record.facts["events_lost"] == 2
    assert [event["type"] for event in record.events] == ["A"]


def test_a_line_cut_by_a_full_disk_does_not_spoil_the_next(calls: Calls, tmp_path: Path) -> None:
    """The disk fills inside a line; when there is room again, events are readable again."""
    bundle = calls.take(events=[{"type": "A"}])
    size = (bundle.path / "journal.jsonl").stat().st_size
    script = (
        "import resource, signal, sys\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "from offhook.bundle import Bundle\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "now = datetime(2026, 3, 4, tzinfo=UTC)\n"
        "bundle = Bundle.create(Path(sys.argv[1]), 'c2', now, {})\n"
        "bundle.append({'type': 'A'}, 50.0, now)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size} + 10, resource.RLIM_INFINITY))\n"
        "bundle.append({'type': 'B'}, 51.0, now)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "bundle.append({'type': 'C'}, 52.0, now)\n"
        "print(bundle.lost)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, text=True
    )
    record = Bundle.open(tmp_path / "2026-03-04" / "c2")
    assert done.stdout == "1\n"
    assert [event["type"] for event in record.events] == ["A", "C"]
    assert len(record.damage) == 1


@pytest.mark.parametrize("call_id", ["", ".", "..", ".hidden", "a/b", "../c", "a b", "a\n", "x" * 129, "é"])
def test_an_id_that_is_no_folder_name_is_refused(tmp_path: Path, call_id: str) -> None:
    """An id must never lead out of the calls folder."""
    with pytest.raises(BundleError, match="not a safe folder name"):
        Bundle.create(tmp_path, call_id, NOON, {})
    assert list(tmp_path.iterdir()) == []


def test_two_calls_never_share_a_folder(calls: Calls, tmp_path: Path) -> None:
    """The second one is refused, the first one's record is untouched."""
    first = calls.take(events=[{"type": "A"}])
    with pytest.raises(BundleError, match="ids must never repeat"):
        Bundle.create(tmp_path, "c1", NOON, {"caller": "somebody else"})
    assert Bundle.open(first.path).facts["caller"] == FACTS["caller"]


def test_a_folder_that_cannot_be_made_says_where_and_why(tmp_path: Path) -> None:
    """The error is ours, so that reception can refuse or go on without a record."""
    (tmp_path / "calls").write_text("a file, not a folder")
    with pytest.raises(BundleError, match="calls/2026-03-04/c1: cannot be written: Not a directory"):
        Bundle.create(tmp_path / "calls", "c1", NOON, {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "not an object"),
    ],
)
def test_a_folder_that_is_no_bundle_is_refused_by_name(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """Each message names the file."""
    if content is not None:
        (tmp_path / "call.json").write_bytes(content)
    with pytest.raises(BundleError, match=f"call.json: .*{words}"):
        Bundle.open(tmp_path)


def test_a_call_that_died_before_its_first_event_is_still_a_call(calls: Calls) -> None:
    """call.json is written first, so who rang is known."""
    bundle = calls.take()
    (bundle.path / "journal.jsonl").unlink()
    record = Bundle.open(bundle.path)
    assert record.facts["caller"] == FACTS["caller"]
    assert record.events == ()
    assert "there is no journal" in record.damage[0]


def test_bundles_are_found_by_day_and_nothing_else_is(calls: Calls, tmp_path: Path) -> None:
    """The index, drafts and stray folders beside the days are no calls."""
    later = calls.take("a", started=NOON + timedelta(days=1))
    earlier = calls.take("b")
    (tmp_path / "index.sqlite").touch()
    (tmp_path / "2026-03-04" / "empty").mkdir()
    assert list(bundles(tmp_path)) == [earlier.path, later.path]
    assert list(bundles(tmp_path / "absent")) == []


def test_the_recording_is_named_once_there_is_one(calls: Calls) -> None:
    """Not every plan records."""
    bundle = calls.take()
    assert Bundle.open(bundle.path).audio_path is None
    bundle.audio_path.write_bytes(b"RIFF")
    assert Bundle.open(bundle.path).audio_path == bundle.path / "audio.wav"


def test_the_transcript_says_who_said_what_and_when_they_began(calls: Calls) -> None:
    """Times count from the first event; a reply that was cut off is shown as it was heard."""
    events: list[dict[str, Any]] = [
        {"type": "AgentEntered", "at": 50.0, "agent": "reception"},
        {"type": "AgentStartedSpeaking", "at": 50.4, "agent": "reception"},
        {"type": "CallerStartedSpeaking", "at": 51.3, "since": 51.1},
        {"type": "CallerInterrupted", "at": 51.4, "spoke_since": 51.1, "heard_ms": 900},
        {"type": "AgentSpoke", "at": 51.4, "agent": "reception", "text": "Good", "interrupted": True},
        {"type": "UserTurnCommitted", "at": 53.0, "text": "sales please", "understood": True},
        {"type": "CallerStartedSpeaking", "at": 54.0, "since": 53.8},
        {"type": "NothingHeard", "at": 55.0, "reason": "noise"},
        {"type": "UserTurnCommitted", "at": 57.5, "text": "12", "by": "keys"},
        {"type": "UserTurnCommitted", "at": 59.0, "text": "mumble", "understood": False},
    ]
    bundle = calls.take(events=events)
    assert transcript(Bundle.open(bundle.path)) == [
        Line(0.4, "reception", "Good", interrupted=True),
        Line(1.1, "caller", "sales please", interrupted=False),
        Line(7.5, "caller", "12", interrupted=False),
        Line(9.0, "caller", "mumble", interrupted=False, understood=False),
    ]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    fields=st.dictionaries(st.text().filter(lambda key: key not in ("at", "wall", "type")), PLAIN, max_size=4)
)
def test_whatever_an_event_holds_comes_back_equal(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    """Line ends, lone surrogates and every other character survive the journal."""
    bundle = Bundle.create(tmp_path_factory.mktemp("calls"), "c1", NOON, {})
    with bundle:
        bundle.append({"type": "Noted", **fields}, at=1.5, wall=NOON)
    record = Record.read(bundle.path)
    assert record.events == ({"type": "Noted", **fields, "at": 1.5, "wall": iso(NOON)},)
    assert record.damage == ()


def test_writing_bundles_loads_nothing_heavy() -> None:
    """The switch imports this module, and the switch stays small."""
    script = (
        "import sys, offhook.bundle; print({'numpy', 'pydantic', 'sqlalchemy', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_another_process_goes_on_with_the_record_of_a_call(calls: Calls) -> None:
    """The line that the first one was writing is ended, and what it had written already is not written twice."""
    first = calls.take("c1", [{"type": "A"}, {"type": "B", "n": 1}])
    with open(first.path / "journal.jsonl", "ab") as journal:
        journal.write(b'{"at": 52, "type": "cut o')
    second = calls.closing.enter_context(Bundle.reopen(first.path))
    assert [row["type"] for row in second.rows] == ["A", "B"]
    second.append({"type": "B", "n": 1}, 51.0, NOON + timedelta(minutes=1))
    second.append({"type": "B", "n": 1}, 52.0, NOON + timedelta(minutes=1))
    second.close({"ended": iso(NOON), "code": 200})
    record = Record.read(first.path)
    assert [(event["type"], event["at"]) for event in record.events] == [
        ("A", 50.0),
        ("B", 51.0),
        ("B", 52.0),
    ]
    assert len(record.damage) == 1 and record.facts["code"] == 200


def test_a_record_that_is_complete_is_not_gone_on_with(calls: Calls) -> None:
    bundle = calls.take("c1", [{"type": "A"}])
    bundle.close({"ended": iso(NOON)})
    with pytest.raises(BundleError, match="its record is complete"):
        Bundle.reopen(bundle.path)
