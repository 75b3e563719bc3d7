"""One document in which everybody types and moves a cursor: what arrives, how late, and what that costs the server.

    python -m bench.people [--people 500] [--rate 1] [--cursors 1] [--seconds 20]

As :mod:`bench.fanout`, with the same server and generator.
"""

from __future__ import annotations

import argparse
import sys

from bench.fanout import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--rate", type=float, default=1.0, help="edits per person and second")
    parser.add_argument("--cursors", type=float, default=1.0, help="cursor moves per person and second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    plan = {"people": told.people, "rate": told.rate, "cursors": told.cursors, "seconds": told.seconds, "warm_up": 3.0}
    sys.exit(measure({}, as_json=told.json, **plan))


if __name__ == "__main__":
    main()
