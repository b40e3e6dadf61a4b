"""The exhaustive search of the link at full size: `make model`, some minutes and up to 3 GB.

Every case says how many worlds were visited. The exit status is 0 if the protocol holds in all of them, every control
holds and every variant is refuted, 1 if not, and 130 after Ctrl-C.
"""

import argparse
import sys
import time
from collections.abc import Iterator

from tests.settlement.link.model.cases import HOLDS, LARGE, SETTLES
from tests.settlement.link.model.search import Result, Search
from tests.settlement.link.model.variants import CONTROLS, REFUTED
from tests.settlement.link.model.world import Case, Rules

PROGRESS_S = 1.0


def jobs() -> Iterator[tuple[str, str, Case, Rules, str]]:
    """Yield group, name, case, rules, and the verdict that is right."""
    for case in (*HOLDS, *SETTLES, *LARGE):
        yield "holds", case.name, case, Rules(), "holds"
    for name, rules, case in CONTROLS:
        yield "control", name, case, rules, "holds"
    for name, variant in REFUTED.items():
        yield "refuted", name, variant.case, variant.rules, variant.verdict


def main() -> int:
    """Search everything that was asked for, and tell."""
    parser = argparse.ArgumentParser(prog="make model", description=__doc__)
    parser.add_argument("--group", choices=("holds", "control", "refuted"), help="one group only")
    parser.add_argument("--name", default="", help="only cases with this in their name")
    parser.add_argument("--traces", action="store_true", help="show the shortest way to each breach")
    options = parser.parse_args()
    chosen = [
        job for job in jobs() if options.group in (None, job[0]) and options.name.lower() in job[1].lower()
    ]  # fmt: skip
    if not chosen:
        parser.error(f"no case has {options.name!r} in its name")
    visited, wrong, began = 0, 0, time.monotonic()
    try:
        for group, name, case, rules, right in chosen:
            result = _search(case, rules, name)
            visited += result.states
            wrong += result.verdict != right
            _tell(group, name, result, right, traces=options.traces or result.verdict != right)
    except KeyboardInterrupt:
        print(f"\nstopped; {visited:,} worlds visited before", file=sys.stderr)
        return 130
    seconds = time.monotonic() - began
    print(f"{visited:,} worlds visited in {len(chosen)} cases and {seconds:.0f} s, {wrong} unexpected verdicts")
    return int(wrong > 0)


def _search(case: Case, rules: Rules, name: str) -> Result:
    told = time.monotonic()

    def progress(states: int) -> None:
        nonlocal told
        if sys.stderr.isatty() and time.monotonic() - told > PROGRESS_S:
            told = time.monotonic()
            print(f"\r{states:>11,} worlds … {name[:60]}\x1b[K", end="\r", file=sys.stderr, flush=True)

    return Search(case, rules, progress).run()


def _tell(group: str, name: str, result: Result, right: str, *, traces: bool) -> None:
    surprise = "" if result.verdict == right else f"  EXPECTED: {right}"
    print(
        f"{group:8}{result.verdict:9}{result.states:>10,} worlds {result.steps:>11,} steps {result.seconds:6.1f} s  "
        f"{name}{': ' if result.breach else ''}{result.breach}{surprise}",
        flush=True,
    )
    if traces:
        for number, label in enumerate(result.trace, 1):
            print(f"{number:>12} {label}")


if __name__ == "__main__":
    sys.exit(main())
