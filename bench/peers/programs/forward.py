"""The peers' engines alone: CPU-ms of an image in a forward pass, on one thread with nothing beside it."""

import time

import numpy as np

from bench.peers.programs.task import SIDE, Engine, from_arguments

SECONDS = 3.0  # of measuring, after one pass


def main() -> None:
    task = from_arguments()
    engine = Engine(task)
    pixels = np.random.default_rng(0).integers(0, 256, (task.batch_size, SIDE, SIDE, 3), np.uint8)
    engine(pixels)
    begun, start, passes = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begun < SECONDS:
        engine(pixels)
        passes += 1
    print(1000 * (time.process_time() - start) / (passes * len(pixels)))


main()
