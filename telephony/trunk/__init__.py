"""How calls reach us: sockets here, access and registration beside them. Not what SIP means (sip/)."""
