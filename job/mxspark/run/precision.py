"""The network at the precision that a run asks for: made from images of its own input, compared with fp32 on others,
and kept in the output, so that all workers and all runs that resume this one use the same.

    _model/<digest>/   a bundle as any other, and figures.json: how it compares with fp32
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from mxspark import host, storage
from mxspark.dataset import plan
from mxspark.dataset.plan import KeySpool, Plan
from mxspark.dataset.source import Source
from mxspark.decode.preprocess import BadImageError, ImageLimits
from mxspark.errors import UsageError
from mxspark.inference import bundle, model_check, mxnet_process, optimize
from mxspark.inference.bundle import Bundle
from mxspark.inference.figures import Figures
from mxspark.inference.mxnet import check_bfloat16
from mxspark.inference.mxnet_process import CrashError, KilledError
from mxspark.inference.optimize import Candidate, Precision, Trial
from mxspark.run.progress import RunListener
from mxspark.settings.job import ModelSettings, Settings, memory_bytes
from mxspark.storage import Access, CredentialsError, MissingError, StorageError, Store
from mxspark.worker.pipeline import ordered_map
from mxspark.worker.sandbox import DecodeTask, Sandbox

FOLDER = "_model"
FIGURES = "figures.json"
MAX_FIGURES_BYTES = 2**20
SECONDS = 3600.0  # limit on making and comparing a model
READERS = 16  # images that are read at a time
# Fewer images tell nothing: a third calibrates, the rest are held out.
LEAST_IMAGES, LEAST_CALIBRATION = 12, 4


@dataclass(frozen=True)
class Optimized:
    """A model that took the place of another, and how it compares with that at fp32."""

    model: Bundle
    figures: Figures

    @property
    def digest(self) -> str:
        return self.model.digest

    def keep(self, store: Store) -> None:
        """Writes it into an output."""
        place = f"{FOLDER}/{self.digest}"
        store.write(f"{place}/{FIGURES}", json.dumps(self.figures.to_json(), indent=1).encode())
        folder = self.model.paths["symbol"].parent
        for name in (*bundle.file_names(self.model.source).values(), bundle.SPEC_FILE):
            store.upload(f"{place}/{name}", folder / name)


class Optimizer:
    """Makes a run's model at another precision. What it makes lasts as long as `folder`."""

    def __init__(self, settings: Settings, model: Bundle, access: Access, progress: RunListener, folder: Path) -> None:
        self._settings = settings
        self._model = model
        self._access = access
        self._progress = progress
        self._folder = folder
        self._measured: Trial | None = None  # the images of the comparison

    def choose(self, keys: KeySpool) -> Optimized | None:
        """The model at the precision of the settings, made from a sample of these images; None where `auto` stays at
        fp32.

        Raises UsageError, with the figures, where it differs too much from fp32, or can't be made.
        """
        asked = self._settings.precision
        if asked != "auto":
            return self.at(asked, keys)
        candidates = self.candidates(("int8", "bf16") if host.has_avx512() else ("int8",), keys)
        passed = [found for candidate in candidates if (found := self._passed(candidate)) is not None]
        return self._fastest(passed)

    def at(self, precision: Precision, keys: KeySpool) -> Optimized:
        """The model at a precision. Raises UsageError."""
        if precision == "bf16":
            check_bfloat16()
        (candidate,) = self.candidates((precision,), keys)
        if candidate.figures is None:
            raise UsageError(f"precision {precision}: {candidate.trouble}", "Use precision fp32.")
        if self._too_different(candidate.figures):
            raise UsageError(
                f"precision {precision} changes what this network predicts: {candidate.figures}. That is less than "
                f"min_agreement {self._settings.min_agreement:g}",
                "Use precision fp32, or auto, which takes the fastest that is good enough; or lower min_agreement if "
                "that is good enough for you. A model that was trained for 8 bits loses less.",
            )
        self._progress.note(f"Precision: {candidate.figures}")
        return optimized(candidate.folder, candidate.figures)

    def _passed(self, candidate: Candidate) -> Optimized | None:
        """For `auto`: the model where it is near enough to fp32."""
        if candidate.figures is None:
            self._progress.note(f"Precision auto: not {candidate.precision}: {candidate.trouble}")
            return None
        if self._too_different(candidate.figures):
            self._progress.note(
                f"Precision auto: not {candidate.precision}: {candidate.figures}. That is less than min_agreement "
                f"{self._settings.min_agreement:g}"
            )
            return None
        return optimized(candidate.folder, candidate.figures)

    def _fastest(self, found: Sequence[Optimized]) -> Optimized | None:
        """The fastest on this machine, None where that is fp32."""
        if not found or self._measured is None:
            self._progress.note("Precision auto: fp32")
            return None
        one_thread = {"OMP_NUM_THREADS": str(self._settings.spark.task_cpus)}  # as a worker has
        models = [self._model, *(one.model for one in found)]
        try:
            fp32, *times = mxnet_process.call_with(
                one_thread, SECONDS, optimize.measure, models, self._measured, self._settings.batch_size
            )
        except (CrashError, KilledError, TimeoutError) as error:
            self._progress.note(f"Precision auto: fp32, as the others can't be timed: {_ended(error)}")
            return None
        measured = {
            time: replace(one, figures=replace(one.figures, cpu_milliseconds=time, cpu_milliseconds_fp32=fp32))
            for one, time in zip(found, times, strict=True)
        }
        best = min(fp32, *times)
        for time, one in measured.items():
            if time != best:
                self._progress.note(f"Precision auto: not {one.figures.precision}, which is slower here: {one.figures}")
        chosen = measured.get(best)
        self._progress.note(f"Precision auto: {chosen.figures if chosen else 'fp32'}")
        return chosen

    def _too_different(self, figures: Figures) -> bool:
        return figures.agreement < self._settings.min_agreement

    def candidates(self, precisions: Sequence[Precision], keys: KeySpool) -> tuple[Candidate, ...]:
        """The model at each precision, compared with fp32 on a sample of these images, or why it can't be made."""
        names = " and ".join(precisions)
        self._progress.step(f"Comparing {names} with fp32 on images of the input")
        trial = self._measured = self._trial(keys)
        if trial is None:
            trouble = f"fewer than {LEAST_IMAGES} of the images that were looked at can be decoded"
            return tuple(Candidate(precision, self._folder, trouble=trouble) for precision in precisions)
        return self._made(precisions, trial)

    def _made(self, precisions: Sequence[Precision], trial: Trial) -> tuple[Candidate, ...]:
        """A precision whose process crashes takes no other one with it: then each has a process of its own."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))  # of a process that crashed files may be left
        threads = {"OMP_NUM_THREADS": str(host.cores())}
        try:
            return mxnet_process.call_with(
                threads, SECONDS, optimize.make, self._model, precisions, trial, self._settings.min_agreement, folder
            )
        except (CrashError, KilledError, TimeoutError) as error:
            if len(precisions) > 1 and not isinstance(error, TimeoutError):
                return tuple(candidate for one in precisions for candidate in self._made((one,), trial))
            if isinstance(error, KilledError) and self._settings.precision != "auto":
                raise  # its hint is better
            return tuple(Candidate(precision, folder, trouble=_ended(error)) for precision in precisions)

    def _trial(self, keys: KeySpool) -> Trial | None:
        """A sample of the images, decoded; None where too few can be."""
        settings = self._settings.input
        sample = keys.sample(self._settings.comparison_images)
        Random(0).shuffle(sample)  # noqa: S311  # which calibrate must not depend on their names
        source = Source(settings, self._access)
        images, taken = self._folder / "images.float32", []
        outage: StorageError | None = None
        with _decoder(self._settings, self._model) as decoder, ThreadPoolExecutor(READERS) as pool:
            read = ordered_map(pool, lambda key: (key, _read(source, key)), sample, READERS)
            with closing(read), images.open("wb") as file:
                for key, data in read:
                    if isinstance(data, StorageError):
                        outage = data if data.cause else outage  # retried in vain: the storage's fault, no image's
                        continue
                    with suppress(BadImageError):
                        array = decoder.decode(data)
                        array.tofile(file)
                        taken.append(key)
        if len(taken) < LEAST_IMAGES:
            if outage is not None:
                raise outage
            return None
        pattern = re.compile(settings.true_label) if settings.true_label else None
        labels = [match[1] if pattern and (match := pattern.search(key)) else None for key in taken]
        return Trial(images, array.shape, max(LEAST_CALIBRATION, len(taken) // 3), labels)


def kept(store: Store, frozen: Plan, settings: Settings, cache_dir: Path, access: Access) -> Optimized | None:
    """The model that the run of a plan uses in place of the one that the settings name; None where it uses that.

    Raises MxsparkError where it is not what was kept.
    """
    digest = kept_digest(store, frozen)
    if digest is None:
        return None
    place = storage.join(settings.output.path, f"{FOLDER}/{digest}")
    try:
        model = bundle.fetch(
            bundle.find(ModelSettings(path=place, fetch_seconds=settings.model.fetch_seconds), access),
            cache_dir,
            access,
        )
    except UsageError:
        raise plan.damaged(store, f"{FOLDER}/{digest}") from None
    figures = kept_figures(store, frozen)
    if model.digest != digest or figures is None:
        raise plan.damaged(store, f"{FOLDER}/{digest}")
    if figures.agreement < settings.min_agreement:
        raise UsageError(
            f"{store.name}: the model of its run is below min_agreement {settings.min_agreement:g}: {figures}",
            "Resume with the earlier min_agreement, or restart with --overwrite.",
        )
    return Optimized(model, figures)


def kept_figures(store: Store, frozen: Plan) -> Figures | None:
    """How the model of a plan's run compares with fp32; None where that is fp32 itself."""
    digest = kept_digest(store, frozen)
    if digest is None:
        return None
    name = f"{FOLDER}/{digest}/{FIGURES}"
    try:
        return Figures.from_json(json.loads(store.read(name, MAX_FIGURES_BYTES)))
    except (MissingError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise plan.damaged(store, name) from None


def kept_digest(store: Store, frozen: Plan) -> str | None:
    """The digest of the model that a plan's run keeps. Raises MxsparkError where it is none: others may have written
    the plan.
    """
    digest = frozen.identity.get("optimized")
    if digest is None:
        return None
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise plan.damaged(store)
    return digest


def make_bundle(
    settings: Settings, model: Bundle, access: Access, progress: RunListener, precision: Precision, folder: Path
) -> Optimized:
    """A bundle of the model at a precision in `folder`, made from images of the input as a run makes it.

    Raises UsageError as a run does.
    """
    with closing(KeySpool()) as keys, optimizer(settings, model, access, progress) as maker:
        with storage.usage_errors("--images", "Check the name."):
            keys.fill(Source(settings.input, access).keys())
        made = maker.at(precision, keys)
        spec = bundle.pack(made.model.source, folder, access, folder)
        return replace(made, model=replace(made.model, spec=spec))


@contextmanager
def optimizer(settings: Settings, model: Bundle, access: Access, progress: RunListener) -> Iterator[Optimizer]:
    """An Optimizer with a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="mxspark-") as folder:
        yield Optimizer(settings, model, access, progress, Path(folder))


def _ended(error: CrashError | KilledError | TimeoutError) -> str:
    """Why a process of MXNet's gave no answer, in words."""
    if isinstance(error, TimeoutError):
        return f"it took more than {SECONDS:g} s; with fewer images (comparison_images) it takes less"
    return error.problem if isinstance(error, KilledError) else f"MXNet crashes ({error})"


@contextmanager
def _decoder(settings: Settings, model: Bundle) -> Iterator[Sandbox]:
    """Decodes in a process of its own, as images may be broken or hostile."""
    found = model_check.check_model(model, "cpu").inspection
    limits = ImageLimits(settings.input.max_pixels, settings.input.max_frames, settings.input.formats)
    memory = memory_bytes(settings.input.max_decode_memory)
    seconds, is_exact = settings.input.max_decode_seconds, settings.input.exact_decode
    task = DecodeTask(limits, found.input, found.preprocess, seconds, memory, is_exact)
    with Sandbox(task) as decoder:
        yield decoder


def _read(source: Source, key: str) -> bytes | StorageError:
    """The error for an image that will be a row with one."""
    try:
        return source.read(key)
    except CredentialsError:
        raise
    except StorageError as error:
        return error


def optimized(folder: Path, figures: Figures) -> Optimized:
    """The model in a folder of a Candidate's."""
    access = Access()
    return Optimized(bundle.fetch(bundle.find(ModelSettings(path=str(folder)), access), folder, access), figures)


def summary(figures: Figures | None, precision: str, digest: str | None) -> dict[str, Any]:
    """What a run's summary says of its precision."""
    own: Mapping[str, Any] = figures.to_json() if figures else {"precision": "fp32"}
    return {"asked": precision, **own, **({"model": digest} if digest else {})}


def check_possible(settings: Settings) -> None:
    """Raises UsageError where this machine can't compute at the precision of the settings, before anything is done."""
    if settings.precision == "bf16":
        check_bfloat16()
