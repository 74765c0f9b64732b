"""`offhook call`: phone somebody, speak clips in turn, hear what comes back."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from offhook.logs import configure_logs
from offhook.settings import LogSettings
from offhook.softphone import CallResult, Line, place_call, read_clip
from telephony.sdp.crypto import SrtpPolicy
from telephony.sdp.negotiate import CODECS
from telephony.trunk.tls import Tls

app = typer.Typer(add_completion=False)
out = Console()


@app.command()
def call(
    target: Annotated[
        str,
        typer.Argument(
            help="Who to phone: sip:NUMBER@HOST:PORT, with ;transport=tcp or tls, or sips:NUMBER@HOST:PORT."
        ),
    ],
    say: Annotated[
        list[str] | None,
        typer.Option(
            help="A WAV to speak when the other side has finished talking; clip.wav@2.5 interrupts it after 2.5 s."
        ),
    ] = None,
    dtmf: Annotated[str, typer.Option(help="Keys to press after the clips: 0-9 A-D * #, w waits.")] = "",
    wait_for_silence: Annotated[
        bool, typer.Option(help="Hang up when the other side has answered the last clip; else it hangs up.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(help="Stereo WAV: heard on the left, said on the right.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Give up after so many seconds.")] = 60.0,
    tls_trust: Annotated[
        Path | None, typer.Option(help="TLS: believe certificates of this authority, a PEM file.")
    ] = None,
    tls_verify: Annotated[
        bool, typer.Option(help="TLS: check the far side's certificate, and that it is for the name dialled.")
    ] = True,
    codec: Annotated[
        list[str] | None,
        typer.Option(help=f"Codec to offer, best first: {', '.join(CODECS)}. Default: PCMU, PCMA."),
    ] = None,
    srtp: Annotated[
        SrtpPolicy,
        typer.Option(help="Encrypt the sound: off, optional (if the other side can), required."),
    ] = "optional",
) -> None:
    """Place one call. Exits with 0 if it was answered and everything was said."""
    configure_logs(LogSettings(level="warning"))
    codecs = tuple(_codec(name) for name in codec or ["PCMU", "PCMA"])
    rate_hz = max(CODECS[name].rate_hz for name in codecs)
    lines = [_line(text, rate_hz) for text in say or []]
    if dtmf:
        lines.append(Line(f"keys {dtmf}", keys=dtmf))
    result = asyncio.run(
        place_call(
            target,
            lines,
            record=record,
            timeout_s=timeout,
            linger=not wait_for_silence,
            on_line=lambda line: out.print(f"say  {line.name}"),
            tls=Tls(verify=tls_verify, trust=tls_trust),
            codecs=codecs,
            srtp=srtp,
        )
    )
    _report(result, lines)


def _codec(name: str) -> str:
    if name.upper() not in CODECS:
        raise typer.BadParameter(f"no codec {name!r}. Known: {', '.join(CODECS)}.", param_hint="--codec")
    return name.upper()


def _line(text: str, rate_hz: int) -> Line:
    """`clip.wav`, or `clip.wav@2.5` to speak 2.5 s into what the other side says."""
    name, at, seconds = text.rpartition("@")
    if at and _is_number(seconds):
        return Line(Path(name).name, read_clip(Path(name), rate_hz), rate_hz, over_s=float(seconds))
    return Line(Path(text).name, read_clip(Path(text), rate_hz), rate_hz)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _report(result: CallResult, lines: list[Line]) -> None:
    out.print(
        f"answered after {result.answered_after_s:.2f} s, talked {result.duration_s:.1f} s, "
        f"heard {result.heard_s:.1f} s of speech, ended by {result.ended_by}"
    )
    unsaid = [line.name for line in lines if line.name not in result.spoken]
    if unsaid:
        why = "the time was over" if result.timed_out else f"{result.ended_by} hung up"
        print(f"not said: {', '.join(unsaid)}: {why} first", file=sys.stderr)
        raise typer.Exit(1)
    if result.timed_out:
        print("the call did not end within --timeout", file=sys.stderr)
        raise typer.Exit(1)
