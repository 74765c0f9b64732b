"""`python -m offhook.plans`: reads one dial plan for the switch, and ends."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from offhook.plans.reader import serve


def main() -> None:
    """Read the command line, then the plan."""
    options = argparse.ArgumentParser(prog="python -m offhook.plans", description=__doc__)
    options.add_argument("plan", type=Path, help="its main file")
    options.add_argument("--versions", type=Path, required=True, help="where versions are kept")
    options.add_argument(
        "--trunks", type=json.loads, help="JSON: the settings' trunks, name to calls at once"
    )
    given = options.parse_args()
    serve(given.plan, given.versions, sys.stdout.buffer, given.trunks)


if __name__ == "__main__":
    main()
