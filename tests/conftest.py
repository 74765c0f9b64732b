"""For all tests: generated inputs are the same in every run, and no run fails because the machine was busy.

`make fuzz` looks for new ones. No test, and no server that a test starts, has a key of the developer's: it would phone
services that cost money, and find out about them instead of about us."""

from __future__ import annotations

import os

from hypothesis import settings

from pipeline.providers.keys import without_keys

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

os.environ.update(without_keys(os.environ))
