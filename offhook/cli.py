"""The command `offhook`: finds the module of the command that was asked for and runs it.

Only that module is imported, so `offhook --help` stays quick however heavy a command is.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from offhook.errors import OffhookError
from pipeline.errors import PipelineError
from pipeline.masking import redacted
from telephony.errors import TelephonyError

# name -> the line that `offhook --help` shows; the module is offhook/commands/<name>.py
COMMANDS = {
    "serve": "Take calls.",
    "reload": "Give the running server new workers with new agent code, under its calls.",
    "check": "Read settings and dial plan, and say what the server would do.",
    "dialplan": "Check, ask, compare and change dial plans.",
    "call": "Phone somebody, speak clips in turn, and hear what comes back.",
    "demo": "Start a server, phone it, and show the conversation.",
    "calls": "List the calls that were taken, or show one of them.",
    "replay": "Put recorded calls through the bot as it is now, and see what changed.",
    "providers": "List the providers of speech and language, or try one.",
}


class Commands(TyperGroup):
    """The commands by name, each imported when it is run."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command if it is loaded, else a stand-in that is good enough for a list of commands."""
        if cmd_name not in self.commands and (summary := COMMANDS.get(cmd_name)):
            return TyperCommand(cmd_name, help=summary)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Where a command is about to run, or its options to be completed."""
        if args and args[0] in COMMANDS:
            module = import_module(f"offhook.commands.{args[0]}")
            self.add_command(typer.main.get_command(module.app), args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_show_locals=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"offhook {version('offhook')}")
        raise typer.Exit


@app.callback()
def offhook(
    show: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Answer the phone over SIP, with agents that listen, think and speak."""


def main() -> None:
    """Entry point. Errors that somebody can mend are shown in one paragraph, without a traceback."""
    try:
        app()
    except (OffhookError, TelephonyError, PipelineError) as error:
        Console(stderr=True).print(
            f"offhook: {redacted(str(error))}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(1)
