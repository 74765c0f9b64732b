"""The process that holds conversations: many calls on one 20 ms clock. It borrows sockets and touches no SIP."""
