"""Provider traffic on tape: recorded on a call, played back with its timing, so that it need not be paid again.

tape.py      the file in a call's bundle, and how it is read and written
keys.py      what a request depends on, as a hash
recording.py providers that write what goes through them
playing.py   providers that answer from the tape
deck.py      which of the two stands between a call and its providers, or neither
"""
