"""What leaves a worker while its calls go on: checkpoints, last words, and the mark of whose code runs."""

from __future__ import annotations

import asyncio
import contextvars
import json
import socket
from typing import Any

import pytest

from offhook.link import TO_SWITCH, Checkpoint, Message, StartCall, WorkerReady
from offhook.wire import Link
from offhook.worker.blame import context_of, marking_tasks
from offhook.worker.notices import CODECS, send_notices
from offhook.worker.saving import Saver, saved_state
from pipeline.agent.history import History
from pipeline.agent.history import Message as Said
from telephony.media.vitals import Vitals


class Kept:
    """The switch's side: what would be given to another worker."""

    def __init__(self) -> None:
        self.state, self.history = "", list[str]()
        self.sizes: list[int] = []

    def __call__(self, message: Message) -> None:
        assert isinstance(message, Checkpoint)
        self.state = message.state
        self.history[message.kept :] = message.added
        self.sizes.append(len(message.model_dump_json()))

    def given(self) -> dict[str, Any]:
        start = StartCall(
            call_id="1", route={}, media=None, rate_hz=8000, stream={}, caller="", called="", parties={},
            recording=None, state=self.state, history=self.history,
        )  # fmt: skip
        return saved_state(start)


def test_a_long_conversation_is_saved_in_small_steps() -> None:
    """After each sentence the other process would know everything; what is sent does not grow with the history."""
    history, kept = History(), Kept()
    saver = Saver("1", kept)
    for number in range(100):
        history.add(Said("user", f"Sentence number {number} of the caller.", float(number)))
        saver.save({"agent": "desk", "history": history.dump()})
        assert History.load(kept.given()["history"]).messages == history.messages
    assert max(kept.sizes[1:]) < kept.sizes[0] + 20
    assert kept.given()["agent"] == "desk"


def test_what_was_not_heard_is_taken_back_from_what_was_saved() -> None:
    """A message in the middle that was cut, or taken out, and those behind it."""
    history, kept = History(), Kept()
    saver = Saver("1", kept)
    said = [Said("assistant", text) for text in ("one", "two", "three")]
    for message in said:
        history.add(message)
    saver.save({"history": history.dump()})
    history.revise(said[1], Said("assistant", "tw", interrupted=True))
    saver.save({"history": history.dump()})
    assert [row["text"] for row in kept.given()["history"]] == ["one", "tw", "three"]
    history.revise(said[2], None)
    saver.save({"history": history.dump()})
    assert [row["text"] for row in kept.given()["history"]] == ["one", "tw"]


def test_userdata_that_json_does_not_know_is_left_behind() -> None:
    kept = Kept()
    Saver("1", kept).save({"history": [], "userdata": {"account": 7, "socket": object()}})
    assert json.loads(kept.state)["userdata"] == {"account": 7, "socket": None}


async def test_the_last_words_of_a_worker_are_read_before_its_end() -> None:
    """A checkpoint that was on its way when it died counts: else a tool might be run twice."""
    ours, theirs = socket.socketpair()
    heard: list[Message] = []
    ended: list[Exception | None] = []
    link = Link(ours, TO_SWITCH, lambda message, _: heard.append(message), ended.append)
    line = WorkerReady(pid=1).model_dump_json().encode() + b"\n"
    theirs.sendall(line * 2000)
    theirs.close()
    link.read_rest()
    assert len(heard) == 2000 and ended == [None]


async def test_a_call_s_code_is_marked_while_it_runs_and_only_then() -> None:
    """In its tasks and in those that they start; not in other calls' and not while they wait."""
    loop = asyncio.get_running_loop()
    vitals, other = Vitals.create(), Vitals.create()
    seen: list[tuple[bool, bool]] = []

    async def child() -> None:
        seen.append((vitals.acting, other.acting))
        raise ValueError("of the call's own")

    async def work() -> str:
        seen.append((vitals.acting, other.acting))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="own"):
            await asyncio.ensure_future(child())
        return "done"

    loop.set_task_factory(marking_tasks)
    try:
        task = loop.create_task(work(), context=context_of(vitals))
        await asyncio.sleep(0)
        assert not vitals.acting
        assert await task == "done"
        stranger = loop.create_task(child(), context=contextvars.copy_context())
        await asyncio.wait([stranger])
        assert isinstance(stranger.exception(), ValueError)
        waiting = loop.create_task(asyncio.Event().wait(), context=context_of(vitals))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled() and not vitals.acting
    finally:
        loop.set_task_factory(None)
    assert seen == [(True, False), (True, False), (False, False)]
    vitals.close()
    other.close()


async def test_what_is_said_to_callers_that_are_given_up_is_spoken_ahead() -> None:
    """Seconds of sound in each codec, in the plan's languages and in English."""
    sent: list[Any] = []
    await send_notices(["de-DE"], sent.append)
    assert {(notice.language, notice.codec) for notice in sent} == {
        (language, codec) for language in ("de", "en") for codec in CODECS
    }
    assert all(len(notice.payload) > 8000 * 2 for notice in sent)
