"""What a recorded call can be stored as, one module a format. Each gives material.py's Material; recording.py asks them."""
