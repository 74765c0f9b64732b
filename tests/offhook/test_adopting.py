"""What a dead switch has left of its calls: gone on with where it can be read, and said where it cannot."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from structlog.testing import capture_logs

from offhook import keeper
from offhook.link import CallConfirmed, Checkpoint
from offhook.switch.active import ActiveCall
from offhook.switch.adopting import calls_left
from offhook.switch.consulting import Consulting
from offhook.switch.held import CALL, Held
from tests.offhook.reception_rig import HOST, Rig, a_peer, a_reception


@contextmanager
def left(**calls: list[int]) -> Iterator[Held]:
    """A keeper that hands over these descriptors."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for name, fds in calls.items():
            keeper.send(ours, {"name": CALL + name}, fds)
        facts = {"restarts": 1, "died_of": -9, "died_at": 1.0, "folder": "", "gone": []}
        keeper.send(ours, {"go": facts})
        yield Held(theirs)


def descriptors(active: ActiveCall) -> list[int]:
    """As active.py keeps them."""
    pair, ledger = active.call.rtp, active.ledger
    assert pair is not None and ledger is not None
    return [ledger.fd, active.vitals.fd, pair.rtp.fileno(), pair.rtcp.fileno()]


async def talking(rig: Rig) -> ActiveCall:
    """A call that is answered and acknowledged, and whose agent has said something."""
    async with a_peer("127.0.0.2") as peer:
        dialling = asyncio.create_task(peer.dial(f"sip:+4930123@{HOST}:{rig.phone.address[1]}"))
        call_id = await rig.answer()
        await dialling
        await rig.told(CallConfirmed)
        active = rig.reception.calls[call_id]
        rig.reception.heard_from(
            active.worker, Checkpoint(call_id=call_id, state='{"said": 1}', kept=0, added=['"Hello"'])
        )
        active.note()
        await _adopted(rig, active)
    return active


async def _adopted(rig: Rig, active: ActiveCall) -> None:
    assert active.ledger is not None
    foreign = os.memfd_create("foreign")
    os.write(foreign, b"offhook call 0\n")
    before = len(os.listdir("/proc/self/fd"))
    lent = descriptors(active)
    assert rig.reception.pool is not None
    with left(foreign=[foreign, *lent[1:]], empty=[os.memfd_create("empty"), *lent[1:]], good=lent) as held:
        with capture_logs() as logs:
            (found,) = calls_left(held, rig.phone, rig.reception.pool, Consulting(rig.phone.dial))
        said = {line["call_id"]: line["error"] for line in logs if line["event"] == "call_not_adopted"}
        assert set(said) == {"foreign", "empty"}
        assert "begins with b'offhook call 0', not 'offhook call 1': another version" in said["foreign"]
        assert found.id == active.id and found is not active
        assert (found.route, found.worker) == (active.route, active.worker)
        assert (found.answered, found.confirmed) == (active.answered, True)
        assert (found.checkpoint, found.history) == ('{"said": 1}', ['"Hello"'])
        assert found.call.plan == active.call.plan
        assert found.dump()["call"]["agreement"] == active.dump()["call"]["agreement"]
        assert found.bundle.path == active.bundle.path
        found.forget()
        assert found.call.rtp is not None
        found.call.rtp.close()
        with found.bundle:
            pass  # closed, and the call is not over
    os.close(foreign)
    assert len(os.listdir("/proc/self/fd")) <= before + 1, "of those that could not be read none is left open"


async def test_a_call_that_another_version_has_left_costs_no_other(tmp_path: Path) -> None:
    """Its line in the log says what it is; the calls beside it are gone on with, as they stood."""
    async with a_reception(tmp_path, "trunks:\n  - {name: carrier, allow_from: 127.0.0.2}\n") as rig:
        active = await talking(rig)
        rows = (active.bundle.path / "journal.jsonl").read_text()
        assert '"type":"SwitchRestarted"' in rows
        active.call.hang_up()
