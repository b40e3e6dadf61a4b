"""`make fuzz`: every decoder under a coverage-guided fuzzer, one after the other, each in a process of its own.

What breaks a target is written to fuzz/crashes/<target>/ and printed with the command that plays it again. Put it into
fuzz/regressions/<target>/ with the repair: tests/test_fuzz.py plays those in every run of the tests, without atheris.
"""

import argparse
import random
import re
import subprocess
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fuzz.targets import targets

HERE: Final = Path(__file__).parent
CRASHES: Final = HERE / "crashes"
CORPUS: Final = HERE / "corpus"
START_S_MAX: Final = 120
"""How long a target may take beyond its time: to be instrumented, and to read a corpus that has grown."""


def main() -> int:
    """Fuzz what was asked for; return 1 if anything broke."""
    known = targets()
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="of all targets together (default: 60)")
    parser.add_argument("--target", action="append", choices=[*known], metavar="NAME", help=", ".join(known))
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**31), help="of the fuzzer's randomness")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play one input of --target again, and stop")
    wanted = parser.parse_args()
    names = wanted.target or [*known]
    if wanted.replay is not None:
        if wanted.target is None or len(names) != 1:
            parser.error("--replay needs one --target")
        try:
            return _replay(names[0], wanted.replay.read_bytes())
        except OSError as e:
            parser.error(f"cannot read {wanted.replay}: {e.strerror}")
    if find_spec("atheris") is None:
        parser.error("atheris is not in this environment; `make fuzz` makes one that has it")
    seconds = max(1, wanted.seconds // len(names))
    print(f"{len(names)} targets, {seconds} s each, seed {wanted.seed}", flush=True)
    broken = [name for name in names if not _fuzz(name, seconds, wanted.seed)]
    if broken:
        print(f"broken: {', '.join(broken)}")
    return 1 if broken else 0


def _replay(name: str, data: bytes) -> int:
    try:
        known = targets()[name](data)
    except Exception:  # Whatever it raises is what was looked for.
        traceback.print_exc()
        return 1
    print("holds" if known else "is no input of this target")
    return 0 if known else 1


def _fuzz(name: str, seconds: int, seed: int) -> bool:
    work = CRASHES / name
    work.mkdir(parents=True, exist_ok=True)
    before = set(work.iterdir())
    command = [sys.executable, "-m", "fuzz.engine", name, "--seconds", str(seconds), "--seed", str(seed)]
    command += ["--crashes", str(work), "--corpus", str(CORPUS / name)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds + START_S_MAX, check=False
        )
        code, said = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as e:
        code, said = -1, f"did not end in time\n{_text(e.stdout)}{_text(e.stderr)}"
    found = sorted(set(work.iterdir()) - before)
    figures = dict(re.findall(r"stat::(\w+): +(\d+)", said))
    runs = figures.get("number_of_executed_units", "?")
    covered = re.findall(r"cov: (\d+)", said)[-1:] or ["?"]
    verdict = "holds" if code == 0 else "BROKEN"
    print(f"{name:12} {verdict}: {runs} inputs, {covered[0]} edges", flush=True)
    if code != 0:
        print("\n".join(_telling(said)))
    for path in found:
        shown = path.relative_to(HERE.parent)
        print(f'  make fuzz ARGS="--target {name} --replay {shown}"')
    return code == 0


def _telling(said: str) -> list[str]:
    """Return the lines that say what happened: of a Python error its traceback, else the end."""
    lines = [line for line in said.splitlines() if not line.startswith(("#", "INFO: Instrumenting"))]
    for index, line in enumerate(lines):
        if "Uncaught Python exception" in line or line.startswith("Traceback"):
            return lines[index : index + 40]
    return lines[-15:]


def _text(said: bytes | str | None) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said or ""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
