"""A phone call goes on while what it is made with is killed: the process of the recogniser, that of the voice, and the
server of a tool."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.live.peers import PjsipPhone
from tests.live.remote_voice import PORT, STORY
from tests.live.server import REPOSITORY, Server, running_server
from tests.live.sound import FRAME_S, FRAME_SAMPLES, loudness, samples_of

pytestmark = pytest.mark.timeout(240)  # speech takes the time it takes

PLAN = """
version: 1
name: Two desks
mcp:
  customers:
    command: [{python}, {customers}]
    allow: [order_status]
agents:
  reception:
    greeting: Hello. Ask me about opening hours, or your bill.
    handoff: [orders]
    script:
      intents:
        - name: hours
          phrases: [what are your opening hours]
          say: We are open from nine to five.
        - name: bill
          phrases: [i have a question about my bill]
          say: One moment.
          handoff: orders
      not_understood: Could you say that again, please?
  orders:
    mcp: [customers]
    greeting: Order line. Please key in your number.
    script:
      intents:
        - name: status
          phrases: ["{{digits:4}}"]
          tool: order_status
          arguments: {{number: "{{digits}}"}}
          then_say: "Hello {{result.name}}. Your order is {{result.status}}."
      not_understood: Please key in the four digits of your number.
numbers:
  - number: "100"
    agent: reception
"""


def _running(server: Server, program: str) -> int:
    """Pid of the descendant that runs this, 0 for none."""
    for pid in server.children():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if program in command:
            return pid
    return 0


async def _killed(server: Server, program: str) -> int:
    """Kill it without a warning; returns its pid."""
    await server.until(lambda: bool(_running(server, program)), program, 20)
    pid = _running(server, program)
    os.kill(pid, signal.SIGKILL)
    return pid


async def _back(server: Server, program: str, old: int) -> None:
    await server.until(lambda: _running(server, program) not in (0, old), f"new {program}", 20)


async def test_a_call_outlives_its_recogniser_and_the_server_of_its_tool(
    recordings: Path, tmp_path: Path
) -> None:
    """Two agents, a tool over MCP, both processes killed in mid-call: every word of the caller is answered."""
    plan = tmp_path / "plan.yaml"
    customers = REPOSITORY / "examples" / "customers.py"
    await asyncio.to_thread(plan.write_text, PLAN.format(python=sys.executable, customers=customers))
    async with running_server(tmp_path, dialplan=plan, workers=1) as server, PjsipPhone() as phone:
        await phone.call(server.uri())
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        await phone.listen()  # the greeting
        old = await _killed(server, "offhook.models")
        await phone.say(recordings / "opening_hours.wav")
        await phone.listen()  # an answer, if only a question to say it again
        await _back(server, "offhook.models", old)
        await phone.say(recordings / "opening_hours.wav")
        await phone.listen()
        await phone.say(recordings / "bill.wav")
        await phone.listen()  # the other agent's greeting
        old = await _killed(server, "customers.py")
        await phone.dtmf("4711#")
        await phone.listen()
        await _back(server, "customers.py", old)
        await phone.dtmf("4711#")
        await phone.listen()
        call = await server.last_call()
        await phone.hang_up()
        await phone.event("disconnected")
        facts = await server.finished(call)
    story = call.story()
    assert facts["ended_by"] == "caller", story
    turns = call.of("UserTurnCommitted")
    assert len(turns) == 5, story
    assert turns[1]["understood"], story
    answers = [event["text"] for event in call.of("AgentSpoke")]
    assert "nine to five" in " ".join(answers), story
    assert [event["agent"] for event in call.of("AgentEntered")] == ["reception", "orders"], story
    assert "Hello Ann Miller" in answers[-1], story
    assert [event["kind"] for event in call.of("ProviderFailed")][:1] == ["stt"], story


TELLING = """
version: 1
name: A story
agents:
  teller:
    python: tests.live.remote_voice:Teller
    keys: {"1": what are your opening hours}
    script:
      intents:
        - name: hours
          phrases: [what are your opening hours]
          say: We are open from nine to five.
numbers:
  - number: "100"
    agent: teller
"""
AUDIBLE = 200.0  # loudness of 20 ms; a pause between two words is below 50
PAUSES_S = 0.7  # the longest that our own voice makes in this story, and some


@asynccontextmanager
async def _a_voice() -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The program, and the port that it listens on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.live.remote_voice", cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process, int(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _longest_silence_s(path: Path, seconds: float) -> float:
    """Between the first and the last word within so much of a recording."""
    heard = samples_of(path)[: round(seconds / FRAME_S) * FRAME_SAMPLES]
    frames = [heard[at : at + FRAME_SAMPLES] for at in range(0, len(heard), FRAME_SAMPLES)]
    loud = [number for number, frame in enumerate(frames) if loudness(frame) > AUDIBLE]
    return max(after - before for before, after in pairwise(loud)) * FRAME_S


async def test_a_call_outlives_the_process_of_its_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of a sentence: another voice tells the rest of it, with less than 2 s of silence more than
    the story has of its own, and the answers after it."""
    plan, heard = tmp_path / "plan.yaml", tmp_path / "heard.wav"
    await asyncio.to_thread(plan.write_text, TELLING)
    loop = asyncio.get_running_loop()
    async with _a_voice() as (voice, port):
        monkeypatch.setenv(PORT, str(port))
        async with running_server(tmp_path, dialplan=plan, workers=1) as server, PjsipPhone() as phone:
            await phone.call(server.uri())
            await phone.event("confirmed", timeout=20)
            await phone.event("media")
            await phone.record(heard)
            began = loop.time()
            listening = asyncio.create_task(phone.listen())
            call = await server.last_call()
            await server.until(lambda: bool(call.of("AgentStartedSpeaking")), "the story", 20)
            await asyncio.sleep(3.0)  # into the first sentence, which takes six
            voice.kill()
            await listening
            told_s = loop.time() - began
            await server.until(lambda: bool(call.of("AgentSpoke")), "the end of the story", 10)
            await phone.dtmf("1")
            await phone.listen()
            await server.until(lambda: len(call.of("AgentSpoke")) == 2, "the answer", 10)
            await phone.hang_up()
            await phone.event("disconnected")
            facts = await server.finished(call)
    story = call.story()
    assert facts["ended_by"] == "caller", story
    first, answer = call.of("AgentSpoke")
    assert (first["text"], first["interrupted"]) == (STORY, False), story
    assert "nine to five" in answer["text"], story
    assert not call.of("ProviderFailed"), "nobody had to apologise"
    voices = facts["usage"]["voices"]
    assert voices["remote"] > 0 and voices["espeak"] > len(answer["text"]), "both are paid for"
    assert _longest_silence_s(heard, told_s) < 2.0 + PAUSES_S, story
