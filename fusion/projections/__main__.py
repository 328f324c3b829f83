"""The process that makes one map: python -m fusion.projections --in FILE --digest KEY --lock HANDLE."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fusion.projections.background import run


def main() -> int:
    """Read the arguments and make the map; started by `fusion.projections.start` only."""
    parser = argparse.ArgumentParser(prog="python -m fusion.projections", description="Make one map.")
    parser.add_argument("--in", dest="given", type=Path, required=True, help="what start wrote")
    parser.add_argument("--digest", required=True, help="name of the map")
    parser.add_argument("--lock", type=int, required=True, help="open file that holds the map's lock")
    asked = parser.parse_args()
    return run(asked.given, asked.digest, asked.lock)


if __name__ == "__main__":
    sys.exit(main())
