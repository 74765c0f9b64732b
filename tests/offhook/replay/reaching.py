"""Tools that reach out of the call: for a page of the network, for a program, for the date."""

from __future__ import annotations

import asyncio
import os
import sys

import aiohttp

from pipeline import wall_clock

PAGE = "OFFHOOK_TEST_PAGE"  # the variable that says where the page is


async def look_up_page() -> str:
    """What a page says. The tool says nothing of waiting for the network."""
    async with aiohttp.ClientSession() as session, session.get(os.environ[PAGE]) as answer:
        return await answer.text()


async def ask_program() -> str:
    """What another program says, which takes its time."""
    code = "import time; time.sleep(0.3); print('the program has spoken')"
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    said, _ = await program.communicate()
    return said.decode().strip()


def tell_day() -> str:
    """The day it is."""
    return f"{wall_clock.today():%Y-%m-%d}"
