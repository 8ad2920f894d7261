"""What it costs that driver, executors and blocks are encrypted: processor time of whole runs, with and without, and of
another checkout.

Prediction: the key exchange and the ciphers' classes cost Java tenths of a second once; what is sent for an image is
small. Goal: 2 %. Interleaved; medians of ROUNDS ratios. BEFORE names the Python of another checkout, IMAGES how many
images a run has.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench import fixtures
from bench.processes import measure

ROUNDS = int(os.environ.get("ROUNDS", "5"))
IMAGES = int(os.environ.get("IMAGES", "10000"))
OPEN = [
    f"--set=spark.conf.{name}=false"
    for name in ("spark.authenticate", "spark.network.crypto.enabled", "spark.io.encryption.enabled")
]


def main() -> None:
    before = os.environ.get("BEFORE")
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        originals = sorted((fixtures.REPOSITORY / "examples/digits/images").iterdir())
        for number in range(IMAGES):
            (images / f"{number:06d}.png").write_bytes(originals[number % len(originals)].read_bytes())
        places = [
            "--input",
            str(images),
            "--model",
            str(fixtures.REPOSITORY / "examples/digits/bundle"),
            "--output",
            f"{folder}/table",
        ]
        run = ["-m", "mxspark", "run", *places, "--overwrite", "--yes", "--master", "local[2]"]
        ways = {"as it is": [sys.executable, *run], "open": [sys.executable, *run, *OPEN]} | (
            {"before": [before, *run]} if before else {}
        )
        environments = {way: {**os.environ, "MXSPARK_CACHE_DIR": f"{folder}/cache of {way}"} for way in ways}
        rounds = [_round(ways, environments) for _ in range(ROUNDS + 1)][1:]  # the first makes class archives
    for way in list(ways)[1:]:
        ratios = sorted(each["as it is"] / each[way] for each in rounds)
        print(f"as it is / {way}: {statistics.median(ratios):.3f} (from {ratios[0]:.3f} to {ratios[-1]:.3f})")


def _round(ways: Mapping[str, list[str]], environments: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    found = {way: measure(command, environments[way]).cpu for way, command in ways.items()}
    print("; ".join(f"{way} {seconds:.1f} s" for way, seconds in found.items()), flush=True)
    return found


if __name__ == "__main__":
    main()
