"""The sum of what a call took is in its record, whoever served it, and whatever became of its worker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from offhook.link import CallEvent, Consult, ConsultEnded
from offhook.usage import Tally, told
from tests.offhook.reception_rig import HOST, a_peer, a_reception


async def test_the_record_of_a_call_has_the_sums_of_all_its_providers(tmp_path: Path) -> None:
    """A line of the consultation counts too: it is paid for."""
    events = [
        {"type": "RecogniserUsed", "at": 1.0, "provider": "ears", "seconds": 4.0},
        {"type": "VoiceUsed", "at": 1.0, "provider": "first", "characters": 20},
        {"type": "VoiceUsed", "at": 2.0, "provider": "second", "characters": 7, "line": "consultation"},
        {"type": "RecogniserUsed", "at": 3.0, "provider": "ears", "seconds": 2.02},
    ]
    async with a_peer(HOST) as caller, a_reception(tmp_path, "") as rig:
        dialing = asyncio.create_task(caller.dial(f"sip:+4930123@{HOST}:{rig.phone.address[1]}"))
        call_id = await rig.answer()
        call = await dialing
        for event in events:
            rig.worker.send(CallEvent(call_id=call_id, event=event))
        rig.worker.send(Consult(call_id=call_id, consult=1, target="nobody", ring_s=1.0))
        await rig.told(ConsultEnded)  # the link keeps its order
        call.hang_up()
        await call.ended()
    (facts,) = (tmp_path / "calls").glob("*/*/call.json")
    usage = json.loads(facts.read_text())["usage"]
    assert usage == {"recognisers": {"ears": 6.02}, "voices": {"first": 20, "second": 7}}
    summed = [json.loads(line) for line in _journal(tmp_path).splitlines() if "UsageSummed" in line]
    assert [{kind: row[kind] for kind in usage} for row in summed] == [usage]


def _journal(folder: Path) -> str:
    (path,) = (folder / "calls").glob("*/*/journal.jsonl")
    return path.read_text()


def test_a_call_that_took_nothing_has_no_sum() -> None:
    assert Tally([{"type": "CallArrived"}]).facts() == {}
    assert told({}) == "nothing"
