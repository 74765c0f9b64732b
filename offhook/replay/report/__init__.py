"""The page for people: one HTML file with everything in it, that opens from a disk without a network."""

from offhook.replay.report.page import write_report

__all__ = ["write_report"]
