"""Sound on the test side: G.711 mu-law, 8 kHz WAV clips, RTP packets in a pcap file for sipp.

Deliberately its own code and not telephony.media: a peer that shares the server's tables proves nothing
about them. Not for the hot path of a call; everything here runs before or after one."""

from __future__ import annotations  # array[int] is only for the type checker before Python 3.12

import struct
import wave
from array import array
from pathlib import Path

RATE_HZ = 8000
FRAME_SAMPLES = 160  # 20 ms
FRAME_S = 0.020
SILENCE = b"\xff" * FRAME_SAMPLES  # mu-law zero, ITU-T G.711 table 2b
DLT_RAW_ETHERNET = 1  # sipp reads the IP header behind 14 bytes of Ethernet


def _expand(code: int) -> int:
    """One mu-law byte to linear, ITU-T G.711: sign, three bits segment, four bits step."""
    bits = ~code & 0xFF
    size = ((((bits & 0x0F) << 3) + 0x84) << ((bits >> 4) & 7)) - 0x84
    return -size if bits & 0x80 else size


def _compress(sample: int) -> int:
    """One linear sample to mu-law, ITU-T G.711: add the bias, find the segment, keep four bits."""
    sign = 0x80 if sample < 0 else 0
    size = min(abs(sample), 32635) + 0x84
    segment = max(size.bit_length() - 8, 0)
    return ~(sign | segment << 4 | (size >> (segment + 3)) & 0x0F) & 0xFF


ULAW_TO_LINEAR: tuple[int, ...] = tuple(_expand(code) for code in range(256))
_LINEAR_TO_ULAW = bytes(_compress(sample - 32768) for sample in range(65536))


def samples_of(path: Path) -> array[int]:
    """Read a mono 16-bit WAV of 8000 Hz. Raises ValueError, naming the file, for any other shape."""
    with wave.open(str(path), "rb") as clip:
        shape = (clip.getnchannels(), clip.getsampwidth(), clip.getframerate())
        if shape != (1, 2, RATE_HZ):
            raise ValueError(f"{path}: {shape} channels, bytes, Hz; a phone clip is (1, 2, 8000). Use sox.")
        return array("h", clip.readframes(clip.getnframes()))


def encode_ulaw(samples: array[int]) -> bytes:
    """Compress linear 16-bit samples to mu-law, one byte a sample."""
    return bytes(_LINEAR_TO_ULAW[sample + 32768] for sample in samples)


def frames_of(path: Path) -> list[bytes]:
    """Cut a clip into 20 ms mu-law payloads of 160 bytes; the last is filled up with silence."""
    coded = encode_ulaw(samples_of(path))
    return [
        coded[at : at + FRAME_SAMPLES].ljust(FRAME_SAMPLES, b"\xff")
        for at in range(0, len(coded), FRAME_SAMPLES)
    ]


def loudness(samples: array[int]) -> float:
    """Root mean square of linear samples; 0.0 for none. Speech on the phone is 1000 to 6000."""
    return float((sum(s * s for s in samples) / len(samples)) ** 0.5) if samples else 0.0


def loudest_second(path: Path) -> float:
    """Loudness of the loudest whole second of a recording: did a voice come through at all?"""
    heard = samples_of(path)
    return max((loudness(heard[at : at + RATE_HZ]) for at in range(0, len(heard), RATE_HZ)), default=0.0)


def write_wav(path: Path, samples: array[int]) -> None:
    """Write linear samples as a mono 16-bit WAV of 8000 Hz."""
    with wave.open(str(path), "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(RATE_HZ)
        clip.writeframes(samples.tobytes())


def write_pcap(path: Path, frames: list[bytes], ssrc: int = 0x0FF0_0001) -> None:
    """Write PCMU payloads as a capture of one RTP stream (RFC 3550 §5.1), 20 ms apart, for sipp to play.

    sipp rewrites addresses and ports, keeps the RTP bytes and the spacing of the capture's timestamps."""
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, DLT_RAW_ETHERNET))
        for number, payload in enumerate(frames):
            marker = 0x80 if number == 0 else 0
            rtp = struct.pack("!BBHII", 0x80, marker, number & 0xFFFF, number * FRAME_SAMPLES, ssrc) + payload
            datagram = struct.pack("!HHHH", 4000, 4000, 8 + len(rtp), 0) + rtp
            loopback = bytes((127, 0, 0, 1))
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0) + loopback * 2
            frame = b"\0" * 12 + b"\x08\x00" + ip + datagram
            seconds, milliseconds = divmod(number * 20, 1000)
            out.write(struct.pack("<IIII", seconds, milliseconds * 1000, len(frame), len(frame)) + frame)
