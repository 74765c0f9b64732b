"""A user's module whose tools are there to read and cannot be imported."""

from __future__ import annotations


def thing() -> str:
    return "thing"


raise RuntimeError("no key in the environment")
