"""For all tests: generated inputs are the same in every run, and no run fails because the machine was busy.

`make fuzz` looks for new ones."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
