"""What a language model must do: stream, end when it is closed, count tokens, tell its errors apart."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import cast

from pipeline.agent.history import Message
from pipeline.ports import Llm, LlmDelta, TextDelta, Usage
from pipeline.providers.fake import FakeLlm
from pipeline.providers.resilient import FallbackLlm
from pipeline.testing.conformance import failing
from pipeline.testing.conformance.subject import Check, Subject, let_go, quickly, require

UNICODE = "Grüße aus Köln, 你好, ¿qué tal?, naïve café 🙂 done."


async def _deltas(llm: Llm, subject: Subject) -> list[LlmDelta]:
    async with aclosing(llm.chat([Message("user", subject.text)])) as answer:
        return [delta async for delta in answer]


def _text(deltas: list[LlmDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


async def _use(provider: object, subject: Subject) -> str:
    return _text(await _deltas(cast(Llm, provider), subject))


async def _streaming(subject: Subject) -> None:
    llm = cast(Llm, subject.make(subject.text))
    deltas = await _deltas(llm, subject)
    await let_go(llm)
    require(_text(deltas) == subject.text, f"it should say {subject.text!r} and says {_text(deltas)!r}")
    pieces = sum(isinstance(delta, TextDelta) for delta in deltas)
    require(pieces > 1, "the reply came in one piece: the caller would wait for its last word")
    require(all(delta.text for delta in deltas if isinstance(delta, TextDelta)), "a TextDelta is empty")


async def _unicode(subject: Subject) -> None:
    llm = cast(Llm, subject.make(UNICODE))
    said = _text(await _deltas(llm, subject))
    await let_go(llm)
    require(said == UNICODE, f"it should say {UNICODE!r} and says {said!r}")


async def _usage(subject: Subject) -> None:
    llm = cast(Llm, subject.make(subject.text))
    found = [delta for delta in await _deltas(llm, subject) if isinstance(delta, Usage)]
    await let_go(llm)
    require(len(found) == 1, f"a request reports Usage once, here {len(found)} times")
    require(found[0].input_tokens > 0 and found[0].output_tokens > 0, f"it counts {found[0]}")


async def _cancel(subject: Subject, after: int) -> None:
    """after: deltas."""
    llm = cast(Llm, subject.make(subject.text))
    loop = asyncio.get_running_loop()

    async def once() -> float:
        answer = llm.chat([Message("user", subject.text)])
        for _ in range(after):
            require(await anext(answer, None) is not None, "the reply is over before it can be cancelled")
        reading = asyncio.ensure_future(anext(answer, None))
        await asyncio.sleep(0 if after else 0.05)
        began = loop.time()
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await answer.aclose()
        return loop.time() - began

    await quickly("cancelling the reply", once)
    await let_go(llm)


async def _side_by_side(subject: Subject) -> None:
    llm = cast(Llm, subject.make(subject.text))
    said = await asyncio.gather(*[_use(llm, subject) for _ in range(3)])
    await let_go(llm)
    require(said == [subject.text] * 3, f"three requests at once were answered with {said}")


CHECKS = (
    Check("streaming", "llm", "the reply comes in pieces, and all of it", _streaming),
    Check("unicode", "llm", "umlauts, Chinese and emoji arrive as they were said", _unicode),
    Check("usage", "llm", "tokens are reported once a request", _usage),
    Check("cancel_streaming", "llm", "closing it in mid-reply gives control back within 50 ms",
          lambda subject: _cancel(subject, 1)),
    Check("cancel_waiting", "llm", "so does closing it before the first token",
          lambda subject: _cancel(subject, 0), "silent"),
    Check("side_by_side", "llm", "calls at the same time do not mix", _side_by_side),
    *failing.checks(
        failing.Manner(
            "llm",
            _use,
            lambda providers, patience: FallbackLlm(cast(list[Llm], providers), patience=patience),
            lambda: FakeLlm("stand-in"),
            lambda said, subject: said == subject.text,
        )
    ),
)  # fmt: skip
