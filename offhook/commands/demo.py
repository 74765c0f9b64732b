"""`offhook demo`: see a conversation happen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from offhook.demo.show import run
from offhook.logs import configure_logs
from offhook.settings import LogSettings

app = typer.Typer(add_completion=False)
out = Console(highlight=False, soft_wrap=True)

ROOT = Path(__file__).parents[2]


@app.command()
def demo(
    calls_dir: Annotated[Path, typer.Option(help="Where the call's record goes.")] = Path("var/calls"),
    clips: Annotated[Path, typer.Option(help="What the caller says.")] = ROOT / "tests" / "recordings",
    dialplan: Annotated[Path, typer.Option(help="Who answers.")] = ROOT / "dialplans" / "demo.yaml",
) -> None:
    """Start a server on loopback, phone it and show the conversation. Exits with 0 if all went as the story says."""
    configure_logs(LogSettings(level="warning"))
    wrong = asyncio.run(run(clips, dialplan, calls_dir.resolve(), out))
    if wrong:
        for text in wrong:
            out.print(f"not as it should be: {text}", style="red")
        raise typer.Exit(1)
    out.print("the conversation went as the story says", style="green")
