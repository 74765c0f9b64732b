"""What a recorded call can be stored as, one module a format. Each gives a Material; recording.py asks them."""
