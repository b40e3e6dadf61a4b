"""One target under atheris, which is libFuzzer for Python; run by `python -m fuzz` in a process of its own.

Source: https://github.com/google/atheris (atheris.Setup, custom mutators), https://llvm.org/docs/LibFuzzer.html#options
"""

import argparse
import hashlib
import random
import sys
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(
    include=["heliograph.venues", "heliograph.model", "heliograph.bus", "heliograph.gateway", "heliograph.marketdata"]
):
    from fuzz.mutation import mutated
    from fuzz.seeds import seeds
    from fuzz.targets import targets

INPUT_BYTES_MAX: Final = 16 * 1024
INPUT_S_MAX: Final = 10
MEMORY_MB_MAX: Final = 2048


def main() -> None:
    """Fuzz until the time is up or something breaks; libFuzzer ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--crashes", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True, help="what earlier runs found worth keeping")
    wanted = parser.parse_args()
    wanted.corpus.mkdir(parents=True, exist_ok=True)
    first = [seed for seed in seeds(wanted.target) if len(seed) <= INPUT_BYTES_MAX]
    for index, seed in enumerate(first):
        (wanted.corpus / f"seed-{index:04}").write_bytes(seed)
    check = targets()[wanted.target]

    def one(data: bytes) -> int:
        try:
            return 0 if check(data) else -1  # -1 keeps what is no input out of the corpus.
        except BaseException:
            # Under libFuzzer's own name for it; libFuzzer was seen to end without having written its own.
            (wanted.crashes / f"crash-{hashlib.sha1(data).hexdigest()}").write_bytes(data)
            raise

    def mutate(data: bytes, size_max: int, seed: int) -> bytes:
        return mutated(data, first, random.Random(seed), size_max, atheris.Mutate)

    options = [
        f"-max_total_time={wanted.seconds}", f"-seed={wanted.seed}", f"-timeout={INPUT_S_MAX}",
        f"-rss_limit_mb={MEMORY_MB_MAX}", f"-max_len={INPUT_BYTES_MAX}", "-len_control=0", "-print_final_stats=1",
        "-verbosity=1", f"-artifact_prefix={wanted.crashes}/", str(wanted.corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
