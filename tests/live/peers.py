"""Foreign phones as async Python objects: `async with PjsipPhone() as phone`.

The phone itself is tests/live/pjsip_phone.py in a process of its own. Nothing here speaks SIP."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAM = Path(__file__).with_name("pjsip_phone.py")
NEEDS_A_CALL = frozenset(
    {"early", "confirmed", "media", "said", "dtmf", "transfer", "statistics", "voice", "silence"}
)

Event = dict[str, Any]


class PhoneError(AssertionError):
    """A phone did not do what the test waited for. The text tells every event so far."""


class PjsipPhone:
    """A PJSIP softphone on a free port of 127.0.0.1, talking G.711 unless `codecs` says otherwise.

    answer_with: final code for incoming calls, 200 to answer, 486 to refuse, 0 to let them ring.
    quiet_s: how long the other side must be inaudible before `silence`; longer than pauses in its speech.
    record: WAV of what the call hears, from its first packet on; complete after the `async with` block.
    transport: udp, tcp or tls. trust: PEM of the authority that must have signed the far side's certificate.
    prack: 100rel is required, of whoever calls and of whoever is called. srtp: off, optional or
    required. timer_s: a session timer of so long is required, at least 90."""

    def __init__(
        self,
        *,
        answer_with: int = 0,
        record: Path | None = None,
        quiet_s: float = 1.2,
        log_level: int = 0,
        transport: str = "udp",
        trust: Path | None = None,
        prack: bool = False,
        srtp: str = "off",
        timer_s: int = 0,
        codecs: Sequence[str] = ("PCMU/8000/1", "PCMA/8000/1"),
    ) -> None:
        self.uri = ""
        self.port = 0
        self.events: list[Event] = []  # all of them, in order
        self._pending: list[Event] = []  # not yet taken by `event`
        self._live: set[int] = set()
        self._had_call = False
        self._changed = asyncio.Condition()
        self._start: dict[str, Any] = {
            "answer_with": answer_with,
            "record": str(record or ""),
            "quiet_s": quiet_s,
            "log_level": log_level,
            "transport": transport,
            "trust": str(trust or ""),
            "prack": prack,
            "srtp": srtp,
            "timer_s": timer_s,
            "codecs": list(codecs),
        }
        self._process: asyncio.subprocess.Process
        self._reader: asyncio.Task[None]
        self._complaints: asyncio.Task[bytes]

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stderr is not None
        self._complaints = asyncio.create_task(self._process.stderr.read(), name="PJSIP's log")
        self._reader = asyncio.create_task(self._read(), name="PJSIP's events")
        try:
            await self._do("start", **self._start)
            started = await self.event("started", timeout=20)
        except BaseException:
            await self._end()
            raise
        self.uri, self.port = started["uri"], started["port"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def call(self, uri: str, headers: Mapping[str, str] | None = None, *, cancel_at: int = 0) -> None:
        """Dial; follow it with `event("early")`, `event("confirmed")`, `event("media")`.

        cancel_at: give up by itself at this provisional response, before a 200 can cross the CANCEL."""
        self._had_call = False  # hope again until this one is over
        await self._do("call", uri=uri, headers=dict(headers or {}), cancel_at=cancel_at)

    async def answer(self, code: int = 200) -> None:
        """Answer or refuse the newest incoming call."""
        await self._do("answer", code=code)

    async def say(self, clip: Path, *, timeout: float | None = 60) -> None:
        """Play a clip into the call; returns when its last sample went out, at once with timeout None."""
        await self._do("say", path=str(clip))
        if timeout is not None:
            await self.event("said", timeout=timeout, path=str(clip))

    async def listen(self, *, timeout: float = 60) -> None:
        """Wait until the other side has begun to speak and has finished."""
        await self.event("voice", timeout=timeout, seconds=0)
        await self.event("silence", timeout=timeout)
        self._pending = [event for event in self._pending if event["event"] != "voice"]  # that was before

    async def record(self, path: Path) -> None:
        """Record what the call hears from now on; the file is complete once the phone has ended."""
        await self._do("record", path=str(path))

    async def dtmf(self, digits: str, *, info: bool = False) -> None:
        """Send digits as RTP events (RFC 4733), or each in an INFO."""
        await self._do("dtmf", digits=digits, info=info)

    async def refresh(self, by: str) -> None:
        """Send UPDATE or INVITE within the call; follow it with `event("response", method=by, code=200)`."""
        await self._do("refresh", by=by)

    async def hang_up(self) -> None:
        """BYE, or CANCEL while it rings; follow it with `event("disconnected")`."""
        await self._do("hangup")

    async def cancel(self) -> None:
        """Give up while it rings. Raises PhoneError if the call was answered meanwhile."""
        if any(event["event"] == "confirmed" for event in self.events):
            raise PhoneError(self._story("answered before it could be cancelled"))
        await self._do("hangup")

    async def hold(self) -> None:
        """Put the other side on hold."""
        await self._do("hold")

    async def resume(self) -> None:
        """Take the other side back from hold."""
        await self._do("resume")

    async def transfer(self, to: str) -> None:
        """Ask the other side by REFER to call `to`; follow it with `event("transfer_status")`."""
        await self._do("transfer", to=to)

    async def connect(self, call: int, with_call: int) -> None:
        """Attended transfer: ask the other side of `call` to take our place in `with_call`."""
        await self._do("connect", call=call, with_call=with_call)

    async def statistics(self) -> dict[str, int]:
        """RTP counters of the live call: sent, received, lost, reordered."""
        await self._do("statistics")
        event = await self.event("statistics", timeout=10)
        return {name: int(event[name]) for name in ("sent", "received", "lost", "reordered")}

    async def event(self, name: str, timeout: float = 10, **facts: object) -> Event:
        """Take the oldest event of this name (and these facts) that no one took yet, or wait for it.

        Raises PhoneError after `timeout` s, and at once when it can no longer come: the phone ended, a
        command was refused, or the call it belongs to is over."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                while True:
                    for event in self._pending:
                        if event["event"] == name and all(event.get(k) == v for k, v in facts.items()):
                            self._pending.remove(event)
                            return event
                    self._fail_if_hopeless(name)
                    await self._changed.wait()
        except TimeoutError:
            raise PhoneError(self._story(f"no {name!r} {facts or ''} within {timeout} s")) from None

    def _fail_if_hopeless(self, name: str) -> None:
        for event in self._pending:
            if event["event"] == "refused":
                raise PhoneError(self._story(f"{event['command']} refused: {event['reason']}"))
        if name in NEEDS_A_CALL and self._had_call and not self._live:
            raise PhoneError(self._story(f"no {name!r}: the call is over"))
        if self._reader.done():
            raise PhoneError(self._story(f"no {name!r}: PJSIP ended"))

    def _story(self, problem: str) -> str:
        return "\n  ".join([f"{problem}. So far:", *(json.dumps(event) for event in self.events)])

    async def _do(self, verb: str, **arguments: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": verb, **arguments}).encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event: Event = json.loads(line)
            async with self._changed:
                self._note(event)
                self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()

    def _note(self, event: Event) -> None:
        self.events.append(event)
        self._pending.append(event)
        if event["event"] in ("calling", "incoming"):
            self._live.add(event["call"])
            self._had_call = True
        elif event["event"] == "disconnected":
            self._live.discard(event["call"])
        elif event["event"] in ("transfer", "replaced"):
            self._live.add(event["followed_by"])

    async def _end(self) -> None:
        """Close stdin, which makes the phone hang up and leave; kill it when it does not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await asyncio.gather(self._reader, self._complaints, return_exceptions=True)
        if self._process.returncode and sys.exc_info()[0] is None:
            log = self._complaints.result().decode(errors="replace")[-3000:]
            raise PhoneError(self._story(f"PJSIP left with {self._process.returncode}:\n{log}"))
