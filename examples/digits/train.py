"""Train the digits network and pack it as bundle/, which is committed: run this only to change the network.

Run:  OMP_NUM_THREADS=1 .venv/bin/python examples/digits/train.py     (a minute or two on one core)
"""

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, from anywhere

import numpy as np
from numpy.typing import NDArray

from examples.archives import REPOSITORY, ArchiveError
from examples.digits import build, images, network
from examples.mxnet_import import mx
from examples.packing import PackError, pack

HERE = Path(__file__).resolve().parent
WORK = REPOSITORY / ".cache" / "digits"
SEED, EPOCHS, BATCH = 1797, 40, 48
PEAK_RATE, WEIGHT_DECAY = 4e-3, 1e-4
FARTHEST = 4  # pixels that a digit is shifted by at most: one pixel of the original 8 × 8

Floats = NDArray[np.float32]


def load(held_out: bool) -> tuple[Floats, Floats]:
    """The images (N, 3, 32, 32) and digits (N,) of one part of the data."""
    paths = [path for path in images.paths() if images.is_held_out(path) == held_out]
    return np.stack([images.pixels(path) for path in paths]), np.array([images.label(path) for path in paths], "f4")


def shifted(batch: Floats, random: np.random.Generator) -> Floats:
    """Each image moved by up to FARTHEST pixels each way over a black ground, so that position matters less."""
    margin = ((0, 0), (0, 0), (FARTHEST, FARTHEST), (FARTHEST, FARTHEST))
    padded = np.pad(batch, margin, constant_values=-1)
    corners = random.integers(0, 2 * FARTHEST + 1, (len(batch), 2))
    height, width = batch.shape[2:]
    crops = [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, corners, strict=True)]
    return np.stack(crops)


def rate(progress: float) -> float:
    """The learning rate at `progress` (0 to 1) of the training: up in the first fifth, then down along a cosine."""
    warm_up = 0.2
    if progress < warm_up:
        return PEAK_RATE * (progress / warm_up)
    return PEAK_RATE * 0.5 * (1 + float(np.cos(np.pi * (progress - warm_up) / (1 - warm_up))))


def train(x: Floats, y: Floats) -> Any:
    """The trained network; the same every time on the same kind of processor."""
    mx.random.seed(SEED)
    np.random.seed(SEED)  # MXNet's initializers draw from it
    random = np.random.default_rng(SEED)
    net, loss_of = network.build(), mx.gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = mx.gluon.Trainer(net.collect_params(), "adam", {"wd": WEIGHT_DECAY})
    batches = len(x) // BATCH
    for epoch in range(EPOCHS):
        order, losses = random.permutation(len(x)), []
        for number in range(batches):
            trainer.set_learning_rate(rate((epoch + number / batches) / EPOCHS))
            chosen = order[number * BATCH : (number + 1) * BATCH]
            batch, digits = mx.nd.array(shifted(x[chosen], random)), mx.nd.array(y[chosen])
            with mx.autograd.record():
                loss = loss_of(net(batch), digits).mean()
            loss.backward()
            trainer.step(1)
            losses.append(loss.asscalar())
        print(f"epoch {epoch + 1:2}/{EPOCHS}: loss {np.mean(losses):.4f}", flush=True)
    return net


def accuracy(net: Any, x: Floats, y: Floats) -> float:
    return float((net(mx.nd.array(x)).asnumpy().argmax(axis=1) == y).mean())


def main() -> None:
    build.build()
    start = time.perf_counter()
    net = train(*load(held_out=False))
    held_out = load(held_out=True)
    seconds = time.perf_counter() - start
    print(f"held-out accuracy {accuracy(net, *held_out):.4f} on {len(held_out[0])} images, after {seconds:.0f} s")

    WORK.mkdir(parents=True, exist_ok=True)
    network.save(net, WORK / "digits")
    labels = WORK / "labels.txt"
    labels.write_text("".join(f"{digit}\n" for digit in range(10)))
    pack(WORK / "digits", labels, HERE / "model.yaml", HERE / "bundle")


if __name__ == "__main__":
    try:
        main()
    except (ArchiveError, PackError, OSError) as error:
        sys.exit(f"examples/digits: {error}")
