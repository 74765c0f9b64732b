"""SIP (RFC 3261), pure: bytes and times in, messages and actions out.

lexer: bytes → message. message: header lines and their typed views. headers, uri: the grammar of values.
parties: who calls whom. body: the SDP inside. transaction, dialog: state. stack: holds them together."""
