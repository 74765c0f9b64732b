"""`offhook serve`: take calls. The process that is started becomes the keeper (offhook/keeper.py), which starts it once
more as the switch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from offhook.keeper import VARIABLE
from offhook.options import Options

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    config: Annotated[
        Path | None, typer.Option(help="Settings file; config/offhook.yaml if it is there.")
    ] = None,
    sip_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="UDP and TCP port for SIP; 0 takes a free one.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port for health and metrics; 0 takes a free one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, max=256, help="Processes that hold conversations; 0 is one per core.")
    ] = None,
    dialplan: Annotated[
        Path | None, typer.Option(help="Dial plan, instead of the one in the settings.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address for SIP and RTP, for instance 127.0.0.1.")] = None,
) -> None:
    """Take calls until Ctrl-C or SIGTERM. Prints one line when the phones may ring."""
    if VARIABLE not in os.environ:
        command = [sys.executable, "-m", "offhook.keeper", *sys.argv[sys.argv.index("serve") + 1 :]]
        os.execv(command[0], command)
    from offhook.serving import serve as run_switch  # not before: the keeper needs none of it

    run_switch(Options(config, sip_port, http_port, workers, dialplan, host))
