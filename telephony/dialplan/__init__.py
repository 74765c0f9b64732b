"""Which agent answers which number: the dial plan, from an admin's YAML file to the route of one call.

Read `model.py` (what may be written), `load.py` (errors with file:line), `match.py` (which rule wins)."""
