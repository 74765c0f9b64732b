"""The model host as call workers meet it: a process of its own behind a Unix socket."""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offhook.models import wire
from offhook.models.client import HostedStream, HostedStt
from pipeline.errors import ConfigError, ProviderError
from pipeline.ports import Final, Hints, Partial, SttEvent

RECORDINGS = Path(__file__).parents[1] / "recordings"
PHRASES = Hints(("what are your opening hours", "i have a question about my bill", "that is all goodbye"))
NUMBERS = Hints(("{digits:4}", "i do not have the number"))


@pytest.fixture
def path() -> Iterator[str]:
    """Where the host listens: short, because a Unix socket's path ends at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="offhook-") as folder:
        yield f"{folder}/models"


@asynccontextmanager
async def host(path: str, *more: str, stderr: int | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """A model host that leaves when the link is closed, as the switch starts it. more: arguments."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "offhook.models", "--socket", path, "--link-fd", str(theirs.fileno())),
            *more,
            stderr=stderr,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        try:
            yield process
        finally:
            ours.close()
            await process.wait()


def clip(name: str) -> NDArray[np.int16]:
    """A clip with silence around it."""
    with wave.open(str(RECORDINGS / f"{name}.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return np.concatenate([np.zeros(2400, np.int16), sound, np.zeros(4000, np.int16)])


def speak(stream: HostedStream, name: str) -> None:
    """One turn, as fast as it goes: nothing here waits for a clock."""
    sound = clip(name)
    for count, at in enumerate(range(0, len(sound) - 159, 160)):
        stream.push(sound[at : at + 160])
        if count == 30:
            stream.start_turn()
    stream.end_turn()


async def answer(stream: HostedStream) -> list[SttEvent]:
    """Everything up to the end of the turn."""
    events: list[SttEvent] = []
    async for event in stream:
        events.append(event)
        if isinstance(event, Final) and event.ends_turn:
            break
    return events


async def understood(stream: HostedStream, name: str) -> str:
    speak(stream, name)
    final = (await answer(stream))[-1]
    assert isinstance(final, Final)
    assert final.understood
    return final.text


async def test_four_calls_are_heard_at_the_same_time(path: str) -> None:
    """Two workers with two calls each, other phrases, turns interleaved; partials come on the way."""
    async with host(path):
        workers = [HostedStt(path), HostedStt(path)]
        streams = [
            await worker.open(rate_hz=8000, hints=hints) for worker in workers for hints in (PHRASES, NUMBERS)
        ]
        clips = ["opening_hours", "invoice_number", "bill", "invoice_number"]
        for stream, name in zip(streams, clips, strict=True):
            speak(stream, name)
        heard = await asyncio.gather(*(answer(stream) for stream in streams))
        finals = [events[-1] for events in heard]
        assert [final.text for final in finals] == [
            "what are your opening hours",
            "four two seven one",
            "i have a question about my bill",
            "four two seven one",
        ]
        assert all(any(isinstance(event, Partial) for event in events) for events in heard)
        assert all(sum(isinstance(event, Final) for event in events) == 1 for events in heard)
        for worker in workers:
            assert worker.dropped == 0
            await worker.aclose()


async def test_another_agent_takes_over_in_the_middle_of_a_call(path: str) -> None:
    """expect() holds from the next turn on."""
    async with host(path):
        stt = HostedStt(path)
        stream = await stt.open(rate_hz=8000, hints=PHRASES)
        assert await understood(stream, "bill") == "i have a question about my bill"
        stream.expect(NUMBERS)
        assert await understood(stream, "invoice_number") == "four two seven one"
        await stream.aclose()
        assert [event async for event in stream] == []
        await stt.aclose()


async def test_every_end_of_a_turn_is_answered_once(path: str) -> None:
    """Also where no turn was."""
    async with host(path):
        stt = HostedStt(path)
        stream = await stt.open(rate_hz=8000, hints=PHRASES)
        stream.end_turn()
        stream.start_turn()
        stream.end_turn()
        speak(stream, "goodbye")
        texts = [(await answer(stream))[-1].text for _ in range(3)]
        assert texts == ["", "", "that is all goodbye"]
        await stt.aclose()


async def test_a_killed_host_fails_every_call_and_the_next_host_serves_them_again(path: str) -> None:
    """The call goes on: its recogniser is opened again by the session."""
    stt = HostedStt(path)
    async with host(path) as process:
        streams = [await stt.open(rate_hz=8000, hints=PHRASES) for _ in range(2)]
        streams[0].start_turn()
        process.send_signal(signal.SIGKILL)
        for stream in streams:
            with pytest.raises(ProviderError, match="model host is gone") as failed:
                await answer(stream)
            assert failed.value.cause == "connectivity"
            assert failed.value.retry
            speak(stream, "bill")  # the clock does not know yet: it must not hurt
    async with host(path):
        stream = await stt.open(rate_hz=8000, hints=PHRASES)
        assert await understood(stream, "bill") == "i have a question about my bill"
        await stt.aclose()


async def test_a_host_that_hangs_owes_no_turn_for_ever(path: str) -> None:
    """Stopped, not dead: the connection stands, and still the call learns that nobody listens."""
    async with host(path) as process:
        stt = HostedStt(path, final_timeout_s=0.2)
        stream = await stt.open(rate_hz=8000, hints=PHRASES)
        process.send_signal(signal.SIGSTOP)
        try:
            speak(stream, "bill")
            with pytest.raises(ProviderError) as failed:
                await answer(stream)
            assert failed.value.cause == "timeout"
        finally:
            process.send_signal(signal.SIGCONT)
        await stt.aclose()


async def test_a_host_that_hangs_costs_sound_and_not_memory(path: str) -> None:
    """Ten minutes of speech into a stopped host: what waits stays bounded, the end of the turn is kept."""
    async with host(path) as process:
        stt = HostedStt(path, final_timeout_s=60.0)
        stream = await stt.open(rate_hz=8000, hints=PHRASES)
        process.send_signal(signal.SIGSTOP)
        try:
            stream.start_turn()
            frame = np.zeros(160, np.int16)
            for count in range(30_000):
                stream.push(frame)
                if count % 1000 == 0:
                    await asyncio.sleep(0)
            stream.end_turn()
            assert stt.dropped > 5000  # of 10,000 pieces; socket buffers and the bounded queue hold the rest
        finally:
            process.send_signal(signal.SIGCONT)
        assert isinstance((await answer(stream))[-1], Final)
        await stt.aclose()


@pytest.mark.parametrize(
    ("provider", "options", "hints", "told"),
    [
        ("pocketsfinks", {}, PHRASES, "no model 'pocketsfinks'.*Known: pocketsphinx, whisper"),
        ("pocketsphinx", {"beam": 1}, PHRASES, "no option 'beam'.*min_confidence"),
        ("pocketsphinx", {}, Hints(language="fr-FR"), "English, not 'fr-FR'"),
    ],
)
async def test_what_the_host_cannot_do_is_a_mistake_in_the_plan(
    path: str, provider: str, options: dict[str, object], hints: Hints, told: str
) -> None:
    """It is said once, at once, and nobody tries again."""
    async with host(path):
        stt = HostedStt(path, provider, options)
        with pytest.raises(ConfigError, match=told):
            await stt.open(rate_hz=8000, hints=hints)
        await stt.aclose()


async def test_no_host_at_all_is_reported_in_time(path: str) -> None:
    """A worker may start before the host, but a call does not wait for ever."""
    with pytest.raises(ProviderError, match="no answer from the model host"):
        await HostedStt(path, connect_timeout_s=0.1).open(rate_hz=8000, hints=PHRASES)


async def test_a_worker_that_talks_nonsense_loses_its_connection_and_others_do_not(path: str) -> None:
    """One worker's bug is not the other worker's outage."""
    async with host(path):
        stt = HostedStt(path)
        stream = await stt.open(rate_hz=8000, hints=PHRASES)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"INVITE sip:100@example.com SIP/2.0\r\n\r\n")
        assert await reader.read() != b"more"  # the end comes
        writer.close()
        assert await understood(stream, "bill") == "i have a question about my bill"
        await stt.aclose()


async def test_the_host_logs_as_the_settings_say(path: str) -> None:
    """One JSON object a line for collectors, like all other processes."""
    pipe = asyncio.subprocess.PIPE
    async with host(
        path, "--log-format", "json", "--log-level", "error", "--log-redact", stderr=pipe
    ) as process:
        stt = HostedStt(path)
        await stt.open(rate_hz=8000, hints=Hints(("no word of any dictionary: qwrtzx",)))  # a warning
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"INVITE sip:100@example.com SIP/2.0\r\n\r\n")
        await reader.read()
        writer.close()
        assert process.stderr is not None
        line = json.loads(await process.stderr.readline())
        await stt.aclose()
    assert (line["event"], line["level"]) == ("models_client_dropped", "error")


async def test_the_host_leaves_with_the_switch(path: str) -> None:
    """Nobody has to tell it: the link closes when the switch dies, however it dies."""
    async with host(path) as process:
        stt = HostedStt(path)
        await stt.open(rate_hz=8000, hints=PHRASES)
    assert process.returncode == 0
    assert os.listdir(os.path.dirname(path)) == []
    await stt.aclose()


async def test_a_connection_that_was_handed_over_is_served_until_it_closes() -> None:
    """--socket-fd: no path in the file system at all."""
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "offhook.models", "--socket-fd", str(theirs.fileno())),
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    messages = wire.Reader()
    assert list(messages.feed(await reader.read(4096))) == [
        (0, {"event": "ready", "providers": ["pocketsphinx", "whisper"]})
    ]
    writer.close()
    assert await process.wait() == 0


def test_messages_survive_any_fragmentation() -> None:
    """A stream socket keeps no message borders."""
    data = wire.audio(7, b"\x01\x02" * 160) + wire.control(7, {"do": "end"}) + wire.audio(8, b"")
    reader = wire.Reader()
    got = [message for at in range(len(data)) for message in reader.feed(data[at : at + 1])]
    assert got == [(7, b"\x01\x02" * 160), (7, {"do": "end"}), (8, b"")]


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 9,
        wire.audio(1, b"")[:4] + b"\x09" + bytes(4),
        b"\x00\x00\x00\x02\x02\x00\x00\x00\x01[]",
        b"\x00\x00\x00\x02\x02\x00\x00\x00\x01\xff{",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    """Too long, of no known kind, no object, no JSON."""
    with pytest.raises(wire.WireError):
        list(wire.Reader().feed(data))
