"""The systems that are compared, and how each is started."""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bench.fixtures import REPOSITORY
from bench.peers.environments import OWN, Environment
from bench.peers.networks import Network
from bench.peers.programs.task import Task
from mxspark import host

Precision = Literal["fp32", "bf16", "int8"]
BATCH_SIZE = 32  # of the peers; mxspark has its default
ARTICLE_BATCH_SIZE = 64  # as in the article's command


@dataclass(frozen=True)
class System:
    """One way to do the job."""

    name: str  # on the command line
    title: str
    precision: Precision
    environment: str  # its packages
    packages: tuple[str, ...]  # whose versions are told
    program: str = ""  # of bench/peers/programs; empty: mxspark itself
    engine: str = ""
    hint: str = ""  # for OpenVINO
    batch_size: int = BATCH_SIZE


def _peer(title: str, program: str, engine: str, precision: Precision, packages: tuple[str, ...]) -> System:
    name = f"{program}-{engine}-{precision}"
    # OpenVINO's int8 networks choose by themselves what computes the rest of the layers.
    hint = {"fp32": "f32", "bf16": "bf16", "int8": ""}[precision] if engine == "openvino" else ""
    return System(name, title, precision, program, packages, program, engine, hint)


_ONNX_RUNTIME, _OPENVINO = "onnxruntime", "openvino"
SYSTEMS = (
    *(System(f"mxspark-{one}", "mxspark", one, OWN, ("pyspark", "mxnet")) for one in ("fp32", "bf16", "int8")),
    *(_peer("Daft + ONNX Runtime", "daft", _ONNX_RUNTIME, one, ("daft", _ONNX_RUNTIME)) for one in ("fp32", "int8")),
    *(_peer("Daft + OpenVINO", "daft", _OPENVINO, one, ("daft", _OPENVINO)) for one in ("fp32", "bf16", "int8")),
    *(_peer("Ray Data + ONNX Runtime", "ray", _ONNX_RUNTIME, one, ("ray", _ONNX_RUNTIME)) for one in ("fp32", "int8")),
    *(
        _peer("Spark UDF + ONNX Runtime", "spark", _ONNX_RUNTIME, one, ("pyspark", _ONNX_RUNTIME))
        for one in ("fp32", "int8")
    ),
    System(
        "article-fp32", "the article's way", "fp32", OWN, ("pyspark", "mxnet"), "article", batch_size=ARTICLE_BATCH_SIZE
    ),
)


@dataclass(frozen=True)
class Place:
    """Where a run's images are, and where its table goes."""

    endpoint: str
    bucket: str
    prefix: str
    output: Path
    workers: int


def file_of(system: System, network: Network) -> Path:
    """The network's file or bundle that the system runs."""
    if not system.engine:
        return {"fp32": network.bundle, "bf16": network.bundle_bf16, "int8": network.bundle_int8}[system.precision]
    if system.precision != "int8":
        return network.onnx
    return network.onnx_int8 if system.engine == _ONNX_RUNTIME else network.openvino_int8


def command(system: System, environment: Environment, network: Network, place: Place) -> list[str]:
    """What starts the system on the images of a place."""
    file = file_of(system, network)
    if not system.program:
        run = [sys.executable, "-m", "mxspark", "run", "--input", f"s3://{place.bucket}/{place.prefix}/"]
        run += ["--output", str(place.output), "--model", str(file), "--endpoint-url", place.endpoint]
        return [*run, "--master", f"local[{place.workers}]", "--yes"]
    return [*program(environment, f"{system.program}_job"), json.dumps(asdict(task(system, network, place)))]


def program(environment: Environment, name: str) -> list[str]:
    """What starts one of bench/peers/programs."""
    return [str(environment.python), "-m", f"bench.peers.programs.{name}"]


def task(system: System, network: Network, place: Place) -> Task:
    """What a peer's program is given."""
    return Task(
        endpoint=place.endpoint,
        bucket=place.bucket,
        prefix=place.prefix,
        output=str(place.output),
        network=str(file_of(system, network)),
        engine=system.engine,
        hint=system.hint,
        workers=place.workers,
        batch_size=system.batch_size,
    )


def variables(system: System, server: Mapping[str, str], place: Place) -> dict[str, str]:
    """The environment of a system's process: the S3 server's credentials, and no reports to anybody."""
    quiet = {"DO_NOT_TRACK": "true", "DAFT_ANALYTICS_ENABLED": "0", "DAFT_PROGRESS_BAR": "0"}
    quiet |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # else Ray leaves one at home
    threads = {"OMP_NUM_THREADS": "1"} if system.program else {}
    path = {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "job")])}
    return {**os.environ, **server, **quiet, **threads, **path, "AWS_ENDPOINT_URL": place.endpoint}


def why_not(system: System) -> str:
    """Why this machine can't run the system; empty where it can."""
    if system.precision == "bf16" and not host.has_avx512():
        return "bf16 is computed on processors with AVX-512 only"
    return ""
