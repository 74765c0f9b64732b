"""What can go wrong in the product itself. Every message names place, fact and remedy.

The command line prints these without a traceback: they are for the person at the keyboard.
"""

from __future__ import annotations


class OffhookError(Exception):
    """Base of everything this package raises on purpose."""


class BundleError(OffhookError):
    """A call's folder cannot be made or read."""


class RecordsError(OffhookError):
    """The index of calls cannot answer."""


class NoSuchCall(RecordsError):
    """No call has this id."""


class AmbiguousCall(RecordsError):
    """More than one call's id begins like this."""


class RecordingError(OffhookError):
    """A recorded call cannot be read: no such file, a format nobody knows, or damage that leaves nothing to hear."""
