"""Runs the benchmarks: `python -m benchmarks [--rounds N] [--only NAME] [--json FILE]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import cluster, embedded, rows, sql

SUITES = {"embedded": embedded.rows, "nsq": cluster.rows, "sql": sql.rows}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5, help="how often each pair is measured in turn")
    options.add_argument("--only", choices=SUITES, help="one suite alone")
    options.add_argument("--json", type=Path, help="write the rows to this file")
    options.add_argument("--plot", type=Path, help="draw the ratios to this SVG file")
    given = options.parse_args()
    measured = [row for name, suite in SUITES.items() if given.only in (None, name) for row in suite(given.rounds)]
    rows.show(measured)
    if given.json:
        rows.write(measured, given.json)
    if given.plot:
        rows.plot(measured, given.plot)


if __name__ == "__main__":
    main()
