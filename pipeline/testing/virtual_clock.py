"""The virtual clock under its name in the kit; it lives in pipeline/virtual_clock.py, which replay uses too."""

from __future__ import annotations

from pipeline.virtual_clock import VirtualLoop, on_virtual_clock, run, ticks

__all__ = ["VirtualLoop", "on_virtual_clock", "run", "ticks"]
