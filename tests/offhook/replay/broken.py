"""A tool that fails: what a replay has to find out."""

from __future__ import annotations


async def look_up_invoice(number: str) -> str:
    """What is open on an invoice. number: its four digits."""
    raise ConnectionError(f"the billing system does not answer for {number}")
