"""All benches of the project, one after another, in a form that takes some minutes: `make bench`.

Each is a process of its own, so that none measures what another left behind. What is timed is told as a ratio of two
things that ran side by side; rates say something of this machine only.
"""

import subprocess
import sys
import time

from bench.stage import console, say

_BENCHES = {
    "Sends against a bare workflow": ["bench.sends"],
    "What a send costs": ["bench.costs"],
    "A broadcast against a loop that keeps no record": ["bench.broadcast"],
    "Events against doing nothing, and against a signal each": ["bench.events", "--rounds", "1"],
    "Templates of 100 KB against a C tree parser": ["bench.templates"],
    "Eight times as long a text": ["bench.growth"],
    "Suppressions against a bare insert": ["bench.suppression_import", "100000"],
}


def main() -> None:
    """Prints one table; ends with 1 where a bench failed."""
    failed: list[str] = []
    say("measure", "found", "goal")
    for title, command in _BENCHES.items():
        console.rule(f"{title}: python -m {' '.join(command)}", align="left")
        began = time.monotonic()
        if subprocess.run([sys.executable, "-m", *command], check=False).returncode:
            failed.append(title)
        say("  took", f"{time.monotonic() - began:.0f} s")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
