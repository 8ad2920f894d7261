"""How much longer a run over two images takes than an empty Spark job, whole process against whole process.

Prediction: Python's imports 1 s, MXNet 1.5 s, the first forward pass 0.3 s, less 1 s that the class archive saves.
Goal: at most 3 s. Interleaved; medians of ROUNDS.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench import fixtures
from bench.processes import measure

ROUNDS = int(os.environ.get("ROUNDS", "5"))
_EMPTY = """
from pyspark import SparkContext
context = SparkContext("local[*]")
context.parallelize([1], 1).foreachPartition(lambda partition: None)
context.stop()
"""


def main() -> None:
    bundle = fixtures.bundle()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for name, data in fixtures.small_pngs(2):
            (images / name).write_bytes(data)
        table = f"{folder}/table"
        run = [
            sys.executable,
            "-m",
            "mxspark",
            "run",
            "--input",
            str(images),
            "--output",
            table,
            "--model",
            str(bundle),
            "--overwrite",
        ]
        measure(run, os.environ)  # makes the class archive and the check of the model
        pairs = []
        for number in range(ROUNDS):
            pairs.append((measure([sys.executable, "-c", _EMPTY], os.environ).wall, measure(run, os.environ).wall))
            print(
                f"round {number + 1}: empty Spark job {pairs[-1][0]:.1f} s, run over two images {pairs[-1][1]:.1f} s",
                flush=True,
            )
    difference = statistics.median(ours - empty for empty, ours in pairs)
    print(f"\n{difference:+.1f} s over an empty Spark job ({statistics.median(empty for empty, _ in pairs):.1f} s)")
