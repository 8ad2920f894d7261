"""One network as everybody runs it: mxspark's bundles, and the same weights as ONNX and OpenVINO files."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from bench import fixtures
from bench.fixtures import CACHE, REPOSITORY
from bench.peers import images
from bench.peers.environments import environment
from bench.peers.programs.task import decode
from mxspark import host

Name = Literal["efficientnet-lite0", "efficientnet-lite1", "mobilenetv2_1.0", "resnet18_v1", "resnet50_v1"]
EXAMPLE = REPOSITORY / "examples" / "imagenet"
OPTIMIZED_FROM = 384  # images, of which mxspark calibrates on a third
MIN_AGREEMENT = "0.9"  # with fp32, of mxspark's int8: more than the others reach
CALIBRATION = OPTIMIZED_FROM // 3
# In a process of its own, for the sake of MXNet's memory. At 224 x 224, as all networks here; trained at 240 x 240.
_SAVE_LITE1 = """
import sys
from pathlib import Path
from examples.archives import NETWORKS, archives, read
from examples.imagenet import network
from examples.imagenet.weights import LITE1_MEMBER, LITE1_PACKAGE, read_checkpoint
weights = read_checkpoint(read(archives(LITE1_PACKAGE, lock=NETWORKS)[LITE1_PACKAGE], LITE1_MEMBER))
network.save(weights, Path(sys.argv[1]), network.LITE1_STAGES)
"""


@dataclass(frozen=True)
class Network:
    """The places of one network's files; all of them take 224 x 224 pixels, squashed, and scale them themselves."""

    name: Name
    bundle: Path
    bundle_int8: Path
    bundle_bf16: Path
    onnx: Path
    onnx_int8: Path
    openvino_int8: Path


def network(name: Name) -> Network:
    """The network's files, made where they are not there. Raises PackageError."""
    folder = CACHE / "peers" / name
    folder.mkdir(parents=True, exist_ok=True)
    made = Network(
        name,
        folder / "bundle",
        folder / "bundle-int8",
        folder / "bundle-bf16",
        folder / "network.onnx",
        folder / "network-int8.onnx",
        folder / "network-int8.xml",
    )
    if not made.bundle.exists():
        _once(made.bundle, lambda target: _pack(name, target))
    _once(made.onnx, lambda target: _python("-m", "bench.peers.export", str(made.bundle), str(target)))
    calibration = CACHE / "peers" / "calibration"
    _once(calibration, _save_calibration)
    _once(made.bundle_int8, lambda target: _optimize(made, "int8", calibration, target))
    if host.has_avx512():
        _once(made.bundle_bf16, lambda target: _optimize(made, "bf16", calibration, target))
    if not (made.onnx_int8.exists() and made.openvino_int8.exists()):
        _quantize(made, calibration)
    return made


def _once(target: Path, make: Callable[[Path], None]) -> None:
    """Makes a file or a folder beside its place and moves it there, so that it is whole or missing."""
    if target.exists():
        return
    print(f"Making {target.relative_to(CACHE)}", flush=True)
    unfinished = target.with_name(f"unfinished-{target.name}")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    make(unfinished)
    unfinished.rename(target)


def _pack(name: Name, target: Path) -> None:
    if name not in ("efficientnet-lite0", "efficientnet-lite1"):
        shutil.copytree(fixtures.bundle(name), target)
        return
    _python(str(EXAMPLE / "build.py"))
    prefix = EXAMPLE / "bundle" / name
    if name == "efficientnet-lite1":
        prefix = target.with_name(name)
        _python("-c", _SAVE_LITE1, str(prefix))
    spec = yaml.safe_load((EXAMPLE / "model.yaml").read_text()) | {"name": name}
    # As the peers' own readers resize: an image is squashed, whatever its sides.
    spec["preprocess"] = {
        **{key: value for key, value in spec["preprocess"].items() if key != "shorter_side"},
        "resize": "squash",
        "filter": "bilinear",
    }
    changed = target.with_suffix(".yaml")
    changed.write_text(yaml.safe_dump(spec))
    arguments = ["--symbol", f"{prefix}-symbol.json", "--params", f"{prefix}-0000.params"]
    labels = ["--labels", str(EXAMPLE / "bundle" / "synset.txt")]
    _mxspark("model", "pack", *arguments, *labels, "--spec", str(changed), "--output", str(target), "--yes")


def _optimize(made: Network, precision: str, calibration: Path, target: Path) -> None:
    optimize = ("model", "optimize", str(made.bundle), "--images", str(calibration), "--output", str(target), "--yes")
    try:
        _mxspark(*optimize, "--precision", precision, "--min-agreement", MIN_AGREEMENT)
    except subprocess.CalledProcessError:  # random weights
        _mxspark(*optimize, "--precision", precision, "--min-agreement", "0")


def _save_calibration(folder: Path) -> None:
    folder.mkdir()
    for name, data in images.calibration(OPTIMIZED_FROM):
        (folder / name).write_bytes(data)


def _quantize(made: Network, calibration: Path) -> None:
    print(f"Making {made.onnx_int8.name} and {made.openvino_int8.name}", flush=True)
    files = sorted(calibration.iterdir())[:: OPTIMIZED_FROM // CALIBRATION]
    pixels = made.onnx.with_name("calibration.npy")
    np.save(pixels, np.stack([decode(path.read_bytes()) for path in files]))
    vnni = "yes" if host.has_vnni() else "no"
    program = ["-m", "bench.peers.programs.quantize", str(made.onnx), str(pixels)]
    program += [str(made.onnx_int8), str(made.openvino_int8), vnni]
    subprocess.run([environment("quantize").python, *program], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, cwd=REPOSITORY)


def _mxspark(*arguments: str) -> None:
    _python("-m", "mxspark", *arguments)
