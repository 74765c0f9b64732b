"""A voice that is a process of its own, to be killed: a program that speaks over TCP, and its provider.

    python -m tests.live.remote_voice    # prints the port that it listens on

One connection a reply. The client writes a line for each piece of text; for each the program writes frames of sound,
no faster than a caller hears them: length in bytes (4, big endian), last of its piece (1), int16 at 8000 Hz, little
endian."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator

import numpy as np

from pipeline.agent.agent import Agent
from pipeline.errors import ProviderError
from pipeline.ports import SpeechChunk, Voice
from pipeline.providers.espeak import EspeakTts
from pipeline.providers.resilient import FallbackTts
from pipeline.speaking.resample import Resampler

PORT = "TEST_VOICE_PORT"
RATE_HZ = 8000
AHEAD_S = 0.4  # of what a caller hears
HEADER = struct.Struct("!I?")
STORY = (
    "This is a long story about a house by the sea, with a garden full of roses and old apple trees behind it. "
    "Nobody had lived in that house for many years, but the lamps in the windows were lit on every winter evening. "
    "Thank you for listening to all of it."
)


class Teller(Agent):
    """Tells its story with the remote voice; the embedded one stands in."""

    def __init__(self) -> None:
        voices = FallbackTts([RemoteVoice(int(os.environ[PORT])), EspeakTts()])
        super().__init__(instructions="Tell.", greeting=STORY, tts=voices)


class RemoteVoice:
    """The program at that port, as a Tts. Raises ProviderError when it is not there or goes away."""

    name, rate_hz = "remote", RATE_HZ

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self, voice: Voice) -> RemoteStream:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as error:
            raise ProviderError(self.name, "connectivity", f"{error}. Is it running?") from error
        return RemoteStream(reader, writer)


class RemoteStream:
    """One reply."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._said = asyncio.Semaphore(0)
        self._pieces, self._finished = 0, False

    def say(self, text: str) -> None:
        self._writer.write(text.replace("\n", " ").encode() + b"\n")
        self._pieces += 1
        self._said.release()

    def finish(self) -> None:
        self._finished = True
        self._said.release()

    async def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        piece = 0
        try:
            while True:
                await self._said.acquire()
                if piece == self._pieces and self._finished:
                    return
                last = False
                while not last:
                    size, last = HEADER.unpack(await self._reader.readexactly(HEADER.size))
                    sound = np.frombuffer(await self._reader.readexactly(size), "<i2").astype(np.int16)
                    yield SpeechChunk(sound, piece, last=last)
                piece += 1
        except (OSError, EOFError) as error:
            raise ProviderError("remote", "connectivity", f"{error}. It has gone away.") from error

    async def aclose(self) -> None:
        self._writer.close()


async def serve_reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One reply: as fast as it is heard, so that whoever kills us does it in the middle of a word."""
    voice, loop = EspeakTts(), asyncio.get_running_loop()
    began, sent_s = loop.time(), 0.0
    try:
        while line := await reader.readline():
            stream = await voice.open(Voice())
            stream.say(line.decode().strip())
            stream.finish()
            resampler = Resampler(voice.rate_hz, RATE_HZ)
            async for chunk in stream:
                sound = resampler.feed(chunk.pcm)
                writer.write(HEADER.pack(2 * len(sound), chunk.last) + sound.astype("<i2").tobytes())
                await writer.drain()
                sent_s += len(sound) / RATE_HZ
                await asyncio.sleep(max(0.0, sent_s - AHEAD_S - (loop.time() - began)))
    except ConnectionError:
        return
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve_reply, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
