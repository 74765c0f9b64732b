"""SDP, pure. description: the text (RFC 8866). negotiate: offer, answer (RFC 3264). plan: what came of it."""
