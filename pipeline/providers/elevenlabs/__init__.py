"""ElevenLabs: voices over one warm WebSocket (tts.py) and the Scribe recogniser (stt.py)."""

import logging

from pipeline.providers.keys import redacted


class _Masked(logging.Filter):
    """The websockets library logs the headers of its handshakes at level DEBUG, and ours carry the key."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redacted(part) if isinstance(part, str) else part for part in record.args)
        return True


logging.getLogger("websockets.client").addFilter(_Masked())
