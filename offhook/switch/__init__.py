"""The process that owns calls: SIP, dialogs, RTP sockets, the dial plan, admission, journals.

It must never die: no numpy, no model, no database, no user code. Read server, then reception, then pool."""
