"""The validated description of a job. Its JSON schema is what every other way of starting the job uses too."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from mxspark.errors import SECRET_NAME, without_secrets
from mxspark.settings.document import AfterValidator, Document, Field, field_validator, model_validator
from mxspark.settings.emr import EmrSettings
from mxspark.settings.kubernetes import KubernetesSettings
from mxspark.settings.model_spec import Kind, PresetName
from mxspark.text import globs
from mxspark.text.words import counted

# Pillow's names.
FormatName = Literal["AVIF", "BMP", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP"]
# Those of FormatName that people's images have; the MPO of many cameras is opened as JPEG. ICO, PPM and TGA are decoded
# on request.
FORMATS: tuple[FormatName, ...] = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
SUFFIXES = (
    ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc",
    ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".png", ".tif", ".tiff", ".webp",
)  # fmt: skip
# What a network computes in; auto chooses one of them.
Precision = Literal["fp32", "bf16", "int8"]
# Of an executor's pod, whatever its template says, and what to do instead. By its container's lifecycle Spark ends
# shards in time.
_CONTAINER = "spec.containers.0."
_LIFECYCLE = f"{_CONTAINER}lifecycle"
_MEMORY = "set spark.executor_memory and spark.executor_memory_overhead"
WRITTEN_BY_SPARK = {
    "metadata.name": "take it out",
    "spec.hostname": "take it out",
    "spec.restartPolicy": "take it out",
    "spec.terminationGracePeriodSeconds": "set kubernetes.executor.termination_grace_seconds",
    f"{_CONTAINER}args": "take it out, or give that to a container beside it",
    f"{_CONTAINER}image": "set kubernetes.image",
    f"{_CONTAINER}imagePullPolicy": "set kubernetes.image_pull_policy",
    _LIFECYCLE: "give that to a container beside it, or set spark.conf.spark.decommission.enabled to false",
    f"{_CONTAINER}resources.requests.cpu": "set kubernetes.executor.cpu_request",
    f"{_CONTAINER}resources.limits.cpu": "set kubernetes.executor.cpu_limit",
    f"{_CONTAINER}resources.requests.memory": _MEMORY,
    f"{_CONTAINER}resources.limits.memory": _MEMORY,
}
LOCATION = "a folder, or s3://bucket/prefix"
HIDDEN = "(hidden)"

Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]*[kmgt]b?$")]
DAY = 86_400
# A heap of which Java counts the 450 MiB that Spark asks for (UnifiedMemoryManager.RESERVED_SYSTEM_MEMORY_BYTES x 1.5):
# of what the serial collector is given, it counts a thirtieth less.
SPARK_MEMORY = 465 * 2**20
WORKER_MEMORY = 384 * 2**20  # bytes in which Python, MXNet and a small network just run (docs/measurements.md)
WORKER_OVERHEAD, GPU_WORKER_OVERHEAD = 1, 4  # GiB of each worker where executor_memory_overhead says nothing
Seconds = Annotated[float, Field(gt=0, le=DAY)]  # every wait has an end
Count = Annotated[int, Field(ge=1, strict=True)]  # strict: `true` is no number
MetricsPort = Annotated[int, Field(ge=1024, le=65_535, strict=True)]  # below, only root may listen


def _expanded(place: str) -> str:
    """~ as a shell would have it, which does not expand it in --output=~/x or in a file; s3:// where Hadoop's s3a://
    is written.
    """
    if place.startswith("~"):
        try:
            return str(Path(place).expanduser())
        except RuntimeError:
            raise ValueError(
                f"there is no home folder of {place.partition('/')[0]}: write the folder out, or ./~… for a name"
            ) from None
    return re.sub("^s3[an]?://", "s3://", place, flags=re.IGNORECASE)


def _holds(owner: object, keys: list[str]) -> bool:
    """Whether there is something at a path of keys; `0` is the first of a list."""
    first, *rest = keys
    found = (
        owner.get(first)
        if isinstance(owner, Mapping)
        else next(iter(owner), None)
        if isinstance(owner, (list, tuple))
        else None
    )
    return found is not None and (not rest or _holds(found, rest))


def _without_secrets(place: str) -> str:
    if "://" in place and without_secrets(place) != place:
        raise ValueError(
            "it holds a password or a signature, which would be written to the plan and the summary. "
            "Name it without: s3://bucket/prefix, whose credentials come from the environment"
        )
    return place


Place = Annotated[str, Field(min_length=1), AfterValidator(_expanded)]
OpenPlace = Annotated[Place, AfterValidator(_without_secrets)]  # what is written to plans and summaries


class InputSettings(Document):
    """Which images."""

    path: OpenPlace | tuple[OpenPlace, ...] = Field(
        description="Where the images are: a folder, one file, s3://bucket/prefix, a pattern such as "
        "s3://bucket/2026-*/*.jpg (** is any number of folders), or a manifest of keys (.txt with one key a line; "
        ".csv, .tsv or .parquet with a column `key`; .lst of MXNet), local or on s3://. Or a list of such: then keys "
        "are whole places, s3://bucket/key or /folder/file.",
    )
    base: OpenPlace | None = Field(
        None, description="What the keys of a manifest are relative to. Default: the folder that holds it."
    )
    allow_outside: bool = Field(
        False,
        description="Let a manifest whose keys are paths name files outside the folder that they are relative to: "
        "/elsewhere/a.png, ../a.png. Only for manifests that you trust: whatever you may read can be named.",
    )
    suffixes: tuple[str, ...] | None = Field(
        None,
        description="Take only keys with these suffixes, in upper or lower case. An empty list takes every key. "
        "Default: common suffixes of images. Keys of a manifest, and keys that match a pattern with a suffix of its "
        "own, are all taken.",
    )
    exclude: tuple[str, ...] = Field(
        (),
        description="Leave out keys with segments that fit one of these patterns, and all below such folders: thumbs, "
        "'.*', '*_small.jpg', 2026-*/raw. An asterisk matches no slash, ** does.",
    )
    formats: tuple[FormatName, ...] = Field(
        FORMATS,
        min_length=1,
        description="Image formats that are decoded, detected by content. ICO, PPM and TGA are decoded only where they "
        "are named.",
    )
    limit: Count | None = Field(None, description="Take only the first N keys listed. Default: all.")
    max_bytes: Count = Field(
        64 * 2**20, description="Larger objects become rows with status `too_large`, unread [bytes]."
    )
    max_manifest_bytes: Count = Field(8 * 2**30, description="Larger manifests are refused [bytes].")
    max_pixels: Count = Field(
        100_000_000,
        description="Larger images become rows with status `too_many_pixels`, undecoded [pixels: width x height].",
    )
    max_frames: Count = Field(
        10_000,
        description="Animations and multi-page files with more become rows with status `too_many_frames`; of others, "
        "the first counts.",
    )
    sandbox: Literal["always", "after_crash"] = Field(
        "after_crash",
        description="When images are decoded in a process of its own, without credentials, files and network: always "
        "(for untrusted images), or when a shard is retried after its worker died or hung.",
    )
    max_decode_seconds: Seconds = Field(60, description="Limit on decoding one image in the sandbox [seconds].")
    max_decode_memory: Memory = Field(
        "2g", description="Limit on the memory of decoding one image in the sandbox [k, m, g]."
    )
    exact_decode: bool = Field(
        True,
        description="Decode large JPEGs whole. With false, those with four times the sides that the network takes, or "
        "more, are decoded at 1/2, 1/4 or 1/8, in a fraction of the time; probabilities change by some 0.01.",
    )
    true_label: str | None = Field(
        None,
        description="Regular expression whose one group finds the true label in a key, e.g. '/([^/]+)/[^/]+$' for one "
        "folder a class: the run then reports accuracy.",
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """All places of `path`."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def place(self) -> str:
        """The places in words, few of many."""
        return ", ".join(self.paths[:3]) + (f" and {len(self.paths) - 3} more" if len(self.paths) > 3 else "")

    @field_validator("path", mode="before")
    @classmethod
    def _one_or_several(cls, path: object) -> object:
        several = list(path) if isinstance(path, (list, tuple)) else [path]
        if not several or not all(isinstance(place, (str, int, float)) and str(place) for place in several):
            raise ValueError("it must be a place, or a list of places: a folder, s3://bucket/prefix or a manifest")
        if not all(
            str(place).isprintable() or str(place).encode(errors="ignore").decode() == place for place in several
        ):
            raise ValueError(
                "it is not UTF-8: rename it, or name the folder above and leave the rest out with input.exclude"
            )
        # Here and not in the union of both kinds alone, whose errors would name pydantic's types in place of the
        # setting.
        several = list(dict.fromkeys(_without_secrets(_expanded(str(place))) for place in several))
        return several[0] if len(several) == 1 else several

    @field_validator("exclude")
    @classmethod
    def _are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not pattern.strip("/"):
                raise ValueError(f"{pattern!r} names nothing")
            globs.regex(pattern)
        return patterns

    @field_validator("suffixes")
    @classmethod
    def _suffixes_are_lower_case(cls, suffixes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if suffixes is None else tuple(suffix.lower() for suffix in suffixes)

    @field_validator("true_label")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if groups != 1:
                raise ValueError(f"needs exactly one (group), which is the label; it has {groups}")
        return pattern


class OutputSettings(Document):
    """Where the table goes."""

    path: OpenPlace = Field(description=f"Where the predictions go: {LOCATION}.")
    format: Literal["parquet", "jsonl", "text"] = Field(
        "parquet",
        description="parquet: a table; jsonl: a JSON object a line; text: one object of `Key ...: Prediction: [...]` "
        "lines, in key order.",
    )
    vector_type: Literal["float32", "float16"] = Field(
        "float32",
        description="Numbers of vectors in the table. float16 takes half the room; an image with a number beyond "
        "65,504 becomes a row with status `not_finite`.",
    )
    l2_normalize: bool = Field(
        False, description="Write vectors with length 1: then dot products are cosines of the angles between them."
    )
    text_object: OpenPlace | None = Field(
        None, description="Where format text puts its one object. Default: predictions.txt in the output folder."
    )
    overwrite: bool = Field(
        False,
        description="Delete an earlier run's results in the output folder and restart; asks for confirmation unless "
        "--yes is given.",
    )
    retry_failed: bool = Field(
        False, description="Predict the failed rows of an earlier run again, in addition to the missing ones."
    )
    submission: str | None = Field(
        None,
        max_length=253,
        description="Names what started this run. A run that is restarted under the same name, as Kubernetes restarts "
        "a lost driver, resumes what it began, even with overwrite.",
    )
    lock_seconds: Annotated[float, Field(ge=1, le=DAY)] = Field(
        30, description="On s3://, how long the lock of a run without a heartbeat is respected [seconds]."
    )

    @model_validator(mode="after")
    def _overwrite_or_retry(self) -> Self:
        if self.overwrite and self.retry_failed:
            raise ValueError("output.overwrite restarts, output.retry_failed resumes: give one of them")
        return self


class ModelSettings(Document):
    """Which network: a bundle, or its single files."""

    path: Place | None = Field(
        None,
        description="The model bundle: a folder with model.yaml, symbol, params and labels; local, s3://, https:// or "
        "http://.",
    )
    symbol: Place | None = Field(
        None, description="Without a bundle: the symbol file (.json); local, s3://, https:// or http://."
    )
    params: Place | None = Field(None, description="Without a bundle: the params file.")
    labels: Place | None = Field(
        None, description="Without a bundle: the labels file, one name a line (synset.txt), .csv or .json."
    )
    allow_outside: bool = Field(
        False,
        description="Let a model.yaml name files outside its own folder: ../shared/synset.txt, /models/a.params, "
        "s3://…",
    )
    output_kind: Kind | None = Field(
        None,
        description="What the network's output is: softmax (probabilities of classes), logits, sigmoid (independent "
        "probabilities) or vector; instead of the model.yaml's output.kind. Default: what that says, else what the "
        "graph proves.",
    )
    output_name: str | None = Field(
        None,
        description="The output or layer that is taken (model inspect --layers lists them); instead of the "
        "model.yaml's output.name, and then of its output.kind too.",
    )
    output_also: dict[str, str] = Field(
        {},
        description="Further outputs or layers that are written as vectors, by the names of their columns, beside "
        "the model.yaml's output.also: {features: pool}.",
    )
    preset: PresetName | None = Field(
        None,
        description="Without a model.yaml: what pixels the network wants, by its kind, e.g. gluon (docs/models.md "
        "lists them). Default: article.",
    )
    sha256: dict[str, str] = Field(
        {},
        description="Digests that the files must have, by role: {symbol: ..., params: ..., labels: ...} [sha256, hex].",
    )

    max_bytes: Count = Field(
        8 * 2**30, description="Limit on one file of the model, where it is fetched from s3:// or the web [bytes]."
    )
    fetch_seconds: Seconds = Field(
        3600, description="Limit on fetching the files to a node and loading them [seconds]."
    )

    @field_validator("sha256")
    @classmethod
    def _digests(cls, digests: dict[str, str]) -> dict[str, str]:
        for role, digest in digests.items():
            if role not in ("symbol", "params", "labels"):
                raise ValueError(f"{role!r} is not one of symbol, params, labels")
            if not re.fullmatch("[0-9a-f]{64}", digest):
                raise ValueError(f"{role}: a sha256 has 64 digits of 0-9a-f")
        return digests

    @model_validator(mode="after")
    def _bundle_or_files(self) -> Self:
        if self.path and (self.symbol or self.params or self.labels):
            raise ValueError(
                "give either model.path (a bundle) or model.symbol, model.params and model.labels, not both"
            )
        if not self.path and not (self.symbol and self.params):
            raise ValueError(
                "no model is given: set model.path (--model) to a bundle, or model.symbol and model.params to its files"
            )
        return self


class PlanSettings(Document):
    """How the keys are cut into shards."""

    shard_size: Count | None = Field(
        None,
        description="Images in a shard: what one Spark task does and one part file holds. "
        "Default: so that every worker gets several, 1024 at most [images].",
    )


class PipelineSettings(Document):
    """How one worker overlaps fetching, decoding and the network."""

    fetch_threads: Annotated[int, Field(ge=1, le=256, strict=True)] = Field(
        16, description="GETs in flight in each worker [threads]."
    )
    decode_threads: Count = Field(1, description="Images decoded at a time in each worker [threads].")
    batches_ahead: Annotated[int, Field(ge=1, le=64, strict=True)] = Field(
        3, description="How far fetching runs ahead of the network; bounds a worker's memory [batches]."
    )
    stall_seconds: Seconds | None = Field(
        None,
        description="A worker that completes no image for so long is ended, and its shard retried [seconds]. "
        "Default: 1.5 x the per-image limit + 30 s.",
    )


Checksums = Literal["auto", "when_supported", "when_required"]


class StorageSettings(Document):
    """How to reach s3:// and http(s)://. Credentials are never settings: boto3's default chain finds them."""

    endpoint_url: str | None = Field(
        None,
        pattern="^https?://",
        description="An S3-compatible server, e.g. http://127.0.0.1:8333. Default: AWS, or AWS_ENDPOINT_URL.",
    )
    region: str | None = Field(
        None, description="Region of the buckets. Default: AWS_REGION or the profile's; asked of AWS where it can."
    )
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto",
        description="path: http://host/bucket/key; virtual: http://bucket.host/key; auto: path where an endpoint_url "
        "is given.",
    )
    request_checksums: Checksums = Field(
        "auto",
        description="Checksums of what is written: when_supported (after the body, which many stores refuse) or "
        "when_required. auto: on AWS, boto3's choice; elsewhere AWS_REQUEST_CHECKSUM_CALCULATION, or when_required.",
    )
    response_checksums: Checksums = Field(
        "auto",
        description="Checksums that boto3 asks for where it reads: when_supported or when_required. "
        "auto: on AWS, boto3's choice; elsewhere AWS_RESPONSE_CHECKSUM_VALIDATION, or when_required.",
    )
    anonymous: bool = Field(False, description="Unsigned requests, for public buckets.")
    request_payer: bool = Field(False, description="Pay for requests to Requester Pays buckets of other owners.")
    connect_timeout: Seconds = Field(5, description="Limit on making a connection [seconds].")
    read_timeout: Seconds = Field(60, description="Limit on one request [seconds].")
    retries: Annotated[int, Field(ge=0, le=50, strict=True)] = Field(
        8, description="Retries after a transient failure, with backoff and jitter."
    )
    retry_seconds: Annotated[float, Field(ge=0, le=DAY)] = Field(
        120, description="Limit on one request with all its tries [seconds]."
    )

    @model_validator(mode="after")
    def _who_pays_signs(self) -> Self:
        if self.request_payer and self.anonymous:
            raise ValueError(
                "storage.request_payer needs signed requests, by which AWS knows whom to bill: leave storage.anonymous "
                "out"
            )
        return self


class DynamicAllocationSettings(Document):
    """Executors that scale with the work (Spark's dynamic allocation)."""

    enabled: bool = Field(False, description="Start executors while shards wait for one, and end idle ones.")
    min_executors: Annotated[int, Field(ge=0, strict=True)] = Field(0, description="Minimum number of executors.")
    max_executors: Count | None = Field(None, description="Maximum number of executors. Default: spark.executors.")
    idle_seconds: Annotated[int, Field(ge=1, le=DAY, strict=True)] = Field(
        60, description="Idle time after which an executor is ended [seconds]."
    )


class SparkSettings(Document):
    """The Spark application."""

    master: str = Field(
        "local[*]",
        pattern=r"^(local(\[(\*|[1-9]\d*)(, *[1-9]\d*)?\])?|local-cluster\[[1-9]\d*, *[1-9]\d*, *[1-9]\d*\]|k8s://.+|spark://.+|yarn)$",
        description="local[N] (N workers on this machine; * is one a core), local-cluster[executors,cores,MiB] (for "
        "tests), k8s://https://host:port, spark://host:port or yarn.",
    )
    app_name: str = Field("mxspark", description="The application's name in Spark's web UI and pods.")
    driver_memory: Memory = Field("1g", description="The driver's JVM heap [k, m, g].")
    driver_memory_overhead: Memory = Field(
        "1g",
        description="The driver's memory beside the heap, in which Python lists keys and checks the model; for pods "
        "[k, m, g].",
    )
    driver_cores: Count = Field(1, description="Cores of the driver's pod.")
    executors: Count = Field(2, description="Executors, where the master is a cluster.")
    executor_cores: Count = Field(1, description="Cores of an executor: it runs executor_cores / task_cpus workers.")
    executor_memory: Memory = Field(
        "1g", description="An executor's JVM heap; the workers' memory is executor_memory_overhead [k, m, g]."
    )
    executor_memory_overhead: Memory | None = Field(
        None,
        description="Memory of an executor's workers, beside the heap [k, m, g]. Default: 1g a worker, with GPUs 4g.",
    )
    executor_gpus: Annotated[int, Field(ge=0, le=64, strict=True)] = Field(
        0, description="GPUs of an executor: it runs one worker for each. Goes with context gpu or auto [GPUs]."
    )
    dynamic_allocation: DynamicAllocationSettings = Field(
        DynamicAllocationSettings(), description="Executors that scale with the work (Spark's dynamic allocation)."
    )
    task_cpus: Count = Field(1, description="Cores that one worker's network uses.")
    class_archive: bool = Field(
        True,
        description="Whether the first local run keeps Java's classes in cache_dir: it ends some seconds later, and "
        "all others start some seconds sooner.",
    )
    conf: dict[str, str] = Field({}, description="Any other Spark properties.")

    @property
    def is_local(self) -> bool:
        """Whether workers are processes that Spark's one Java starts on this machine, without executors."""
        return re.match(r"local($|\[)", self.master) is not None

    @property
    def is_kubernetes(self) -> bool:
        """Whether the executors are pods."""
        return self.master.startswith("k8s://")

    @property
    def workers_of_executor(self) -> int:
        """How many tasks an executor runs at a time."""
        return min(self.executor_gpus or self.executor_cores, self.executor_cores // self.task_cpus)

    @property
    def executor_overhead(self) -> Memory:
        """executor_memory_overhead, or its default."""
        one = GPU_WORKER_OVERHEAD if self.executor_gpus else WORKER_OVERHEAD
        return self.executor_memory_overhead or f"{self.workers_of_executor * one}g"

    @field_validator("conf", mode="before")
    @classmethod
    def _as_spark_writes_them(cls, conf: object) -> object:
        if not isinstance(conf, dict):
            return conf
        return {key: str(value).lower() if isinstance(value, bool) else value for key, value in conf.items()}

    @model_validator(mode="after")
    def _a_task_fits(self) -> Self:
        cores = re.match(r"local\[(\d+)", self.master)
        if cores and self.task_cpus > int(cores[1]):
            raise ValueError(
                f"spark.task_cpus is {self.task_cpus} but spark.master {self.master!r} has fewer cores: no task could "
                "run"
            )
        if not self.is_local and self.task_cpus > self.executor_cores:
            raise ValueError(
                f"spark.task_cpus is {self.task_cpus} but spark.executor_cores only {self.executor_cores}: no executor "
                "could run a task"
            )
        return self

    @model_validator(mode="after")
    def _executors_fit(self) -> Self:
        if self.is_local or self.master.startswith("local-cluster"):
            return self
        if self.executor_gpus > self.executor_cores // self.task_cpus:
            raise ValueError(
                f"spark.executor_gpus is {self.executor_gpus}, one worker for each, but spark.executor_cores "
                f"{self.executor_cores} are enough for {self.executor_cores // self.task_cpus}: give more cores, or "
                "fewer GPUs"
            )
        for name, memory in (("driver_memory", self.driver_memory), ("executor_memory", self.executor_memory)):
            if memory_bytes(memory) < SPARK_MEMORY:
                raise ValueError(f"spark.{name} is {memory}, but Spark's Java asks for {SPARK_MEMORY >> 20}m at least")
        if memory_bytes(self.executor_overhead) < self.workers_of_executor * WORKER_MEMORY:
            raise ValueError(
                f"spark.executor_memory_overhead is {self.executor_overhead} for "
                f"{counted(self.workers_of_executor, 'worker')}, of which each needs {WORKER_MEMORY // 2**20}m at "
                "least, more for large networks: raise it, or give the executor fewer cores"
            )
        limits = self.dynamic_allocation
        most = limits.max_executors or self.executors
        if limits.enabled and limits.min_executors > most:
            raise ValueError(
                f"spark.dynamic_allocation.min_executors is {limits.min_executors}, but the maximum is {most}"
            )
        return self


class MetricsSettings(Document):
    """A run's figures for Prometheus, which the driver serves while it runs."""

    port: MetricsPort | None = Field(
        None, description="Serve the run's metrics at this port of the driver, http://HOST:PORT/metrics. Default: none."
    )
    host: str | None = Field(
        None,
        min_length=1,
        description="The address that they are served at. Default: every address of a pod; elsewhere 127.0.0.1, which "
        "this machine alone reaches.",
    )


class Settings(Document):
    """A job: which images, which network, where the table goes, and how it runs."""

    input: InputSettings = Field(description="Which images.")
    output: OutputSettings = Field(description="Where the table goes.")
    model: ModelSettings = Field(description="Which network.")
    context: Literal["cpu", "gpu", "auto"] = Field(
        "cpu",
        description="What the network runs on: cpu; gpu (an error where there is none); auto (a GPU where there is "
        "one, and says so).",
    )
    precision: Literal[Precision, "auto"] = Field(
        "fp32",
        description="Numbers that the network computes in, on CPUs. fp32; bf16 (fast with AMX or AVX512_BF16); int8 "
        "(fast with AVX512_VNNI or AMX), calibrated on images of the input; auto: the fastest of them here. All but "
        "fp32 are compared with it before the run, and must reach min_agreement.",
    )
    min_agreement: Annotated[float, Field(ge=0, le=1)] = Field(
        0.99,
        description="For precision: the least share of images, of those held out for the comparison, for which the "
        "network must predict the same as at fp32 [0 to 1].",
    )
    comparison_images: Annotated[int, Field(ge=12, le=100_000, strict=True)] = Field(
        384,
        description="For precision: images of the input for the comparison with fp32. A third calibrates int8, the "
        "rest are held out [images].",
    )
    batch_size: Annotated[int, Field(ge=1, le=4096, strict=True)] = Field(
        16,
        description="Images in one forward pass. With one core a worker, more hardly gains speed but costs memory "
        "[images].",
    )
    top_k: Count = Field(5, description="Predictions in a row: the k most probable classes.")
    max_failed_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05, description="The run fails (exit code 3, no _SUCCESS) when more of the images than this fail [0 to 1]."
    )
    max_failed_after: Count = Field(
        1000, description="Images after which max_failed_fraction may stop the run early [images]."
    )
    cache_dir: Place | None = Field(
        None,
        description="Where a node keeps fetched model files. Default: mxspark in XDG_CACHE_HOME, ~/.cache or the "
        "temporary folder.",
    )
    log_format: Literal["console", "json"] = Field(
        "console",
        description="What a run prints. console: for a person; json: an object a line, events on standard error and "
        "the result on standard output (docs/monitoring.md).",
    )
    metrics: MetricsSettings = Field(MetricsSettings(), description="The run's figures for Prometheus.")
    plan: PlanSettings = Field(PlanSettings(), description="How the keys are cut into shards.")
    pipeline: PipelineSettings = Field(PipelineSettings(), description="How one worker overlaps its work.")
    storage: StorageSettings = Field(StorageSettings(), description="How to reach s3:// and http(s)://.")
    spark: SparkSettings = Field(SparkSettings(), description="The Spark application.")
    kubernetes: KubernetesSettings = Field(KubernetesSettings(), description="The pods, where spark.master is k8s://.")
    emr: EmrSettings = Field(EmrSettings(), description="The job run, where the job is submitted to EMR on EKS.")

    @model_validator(mode="after")
    def _gpus_are_asked_for(self) -> Self:
        asked = self.spark.executor_gpus or "spark.executor.resource.gpu.amount" in self.spark.conf
        if self.spark.is_kubernetes and self.context == "gpu" and not asked:
            raise ValueError(
                "context is gpu, but spark.executor_gpus is 0: executors would get no GPU. Set spark.executor_gpus to 1"
            )
        if self.spark.executor_gpus and self.context == "cpu":
            raise ValueError(
                f"spark.executor_gpus is {self.spark.executor_gpus}, but context is cpu: set context to gpu, or ask "
                "for none"
            )
        return self

    @model_validator(mode="after")
    def _precision_goes_with_cpus(self) -> Self:
        if self.precision != "fp32" and self.context != "cpu":
            raise ValueError(
                f"precision {self.precision} is for CPUs, but context is {self.context}: set context to cpu, or "
                "precision to fp32"
            )
        return self

    @model_validator(mode="after")
    def _spark_leaves_the_template_of_executors(self) -> Self:
        decommissions = self.spark.conf.get("spark.decommission.enabled", "true") == "true"
        for key, hint in WRITTEN_BY_SPARK.items():
            if _holds(self.kubernetes.executor.template, key.split(".")) and (key != _LIFECYCLE or decommissions):
                raise ValueError(
                    f"kubernetes.executor.template.{key} would have no effect, for Spark writes its own over it: {hint}"
                )
        return self

    @model_validator(mode="after")
    def _text_object_goes_with_text(self) -> Self:
        if self.output.text_object and self.output.format != "text":
            raise ValueError(f"output.text_object goes with output.format text, but that is {self.output.format}")
        return self

    @property
    def longest_image(self) -> float:
        """How long one image may rightly take to be fetched or decoded [seconds]."""
        twice = 2 * self.input.max_decode_seconds  # the sandbox asks a fresh process before it blames an image
        return max(self.storage.retry_seconds + self.storage.read_timeout, twice)

    @property
    def stall_seconds(self) -> float:
        """pipeline.stall_seconds, or its default."""
        return self.pipeline.stall_seconds or 1.5 * self.longest_image + 30

    @model_validator(mode="after")
    def _stalls_are_longer_than_other_waits(self) -> Self:
        if self.stall_seconds <= self.longest_image:
            raise ValueError(
                f"pipeline.stall_seconds is {self.stall_seconds:g}, but one image may rightly take "
                f"{self.longest_image:g} s: raise it above storage.retry_seconds + storage.read_timeout and twice "
                "input.max_decode_seconds"
            )
        return self

    @model_validator(mode="after")
    def _output_is_not_input(self) -> Self:
        target = _normal(self.output.path)
        for place in self.input.paths:
            source = _normal(place)
            if source.rstrip("/") == target.rstrip("/"):
                raise ValueError(
                    f"output.path is the same place as input.path, {place!r}: give the predictions a folder of their "
                    "own"
                )
            if target.startswith(source) and self.input.suffixes == ():
                raise ValueError(
                    "output.path lies within input.path and input.suffixes takes every key: the predictions in "
                    f"{self.output.path!r} would be read as images. Put the output elsewhere"
                )
        return self


def memory_bytes(text: Memory) -> int:
    """`512m` as a number of bytes."""
    units = "kmgt"
    match = re.fullmatch(r"(\d+)([kmgt])b?", text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) << 10 * (units.index(match[2]) + 1)


def resolved(place: str) -> str:
    """A folder or file from the root on, wherever it was typed; a bucket's prefix as it is, for it is one to the
    letter.
    """
    return place if "://" in place else os.path.abspath(place)


def _normal(place: str) -> str:
    """A place in a form that can be compared with what may lie in it."""
    return place.rstrip("/") if "://" in place else resolved(place) + "/"


def visible(data: Mapping[str, Any]) -> dict[str, Any]:
    """Settings (or a section of them) as they may be shown and written: addresses without secrets, Spark's secret
    properties hidden.
    """
    return {key: _visible(key, value) for key, value in data.items()}


def _visible(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return visible(value)
    if not isinstance(value, str):
        return value
    # In Spark's properties the name may be within the value.
    is_secret = SECRET_NAME.search(f"{key}={value}" if key.startswith("spark.") else key)
    return HIDDEN if is_secret else without_secrets(value)
