"""A model's files on this node: found, fetched once however many workers start together, and verified against their
digests.

Files that are not local live in a cache under the name of their sha256; a digest that was seen when the run started is
what every worker insists on later, so a file that is swapped in mid-run is an error, not another model's predictions.
"""

import hashlib
import os
import reprlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import unquote

from filelock import FileLock

from mxspark import host, storage
from mxspark.errors import UsageError
from mxspark.inference import labels
from mxspark.private_folder import private_folder
from mxspark.settings.document import dump_yaml, parse, read_yaml
from mxspark.settings.job import ModelSettings, resolved
from mxspark.settings.model_spec import FileSpec, Kind, ModelOutput, ModelSpec, PresetName
from mxspark.storage import Access, MissingError, StorageError, TooLargeError, beneath
from mxspark.text.words import printable

SPEC_FILE = "model.yaml"
ROLES = ("symbol", "params", "labels")
MAX_SPEC_BYTES = 2**20
MAX_LABELS_BYTES = 64 * 2**20


@dataclass(frozen=True)
class BundleSource:
    """Where a model's files are and what they must be; small, and travels to the workers."""

    spec: ModelSpec
    locations: Mapping[str, str]  # by role; labels may be missing
    sha256: Mapping[str, str]  # by role, as far as known
    seconds: float = 3600.0  # limit on waiting for another process that fetches them
    max_bytes: int | None = None  # limit on one of them, where it is fetched

    def with_absolute_places(self) -> Self:
        """The same for a process in another working folder, as a worker's may be."""
        return replace(self, locations={role: resolved(place) for role, place in self.locations.items()})


@dataclass(frozen=True)
class Bundle:
    """A model's verified files on this node."""

    spec: ModelSpec
    paths: Mapping[str, Path]  # by role
    labels: tuple[str, ...]  # class names by index; empty where there is no labels file
    source: BundleSource  # with the digests of all files

    @property
    def digest(self) -> str:
        """Changes with whatever could change a prediction: the files, the preprocessing, the output."""
        output = self.spec.output
        # What is not used is left out: the digest of a bundle stays what it was before there were presets.
        parts = [
            self.spec.input.model_dump_json(),
            self.spec.preprocess.model_dump_json(),
            output.model_dump_json(exclude=set() if output.also else {"also"}),
            self.spec.preset or "",
        ]
        text = "".join(parts) + "".join(f"{k}={v};" for k, v in sorted(self.source.sha256.items()))
        return hashlib.sha256(text.encode()).hexdigest()


def cache_dir(setting: str | None) -> Path:
    """Where this node keeps model files."""
    return Path(setting) if setting else default_cache_dir()


def default_cache_dir() -> Path:
    """XDG's place for caches, or the temporary folder where there is no home that can be written (as in a pod)."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    existing = next((folder for folder in (home, *home.parents) if folder.exists()), None)
    if existing is not None and os.access(existing, os.W_OK):
        return home / "mxspark"
    # A name that is the same for all users would belong to the first who took it.
    return host.temporary_folder() / f"mxspark-{os.geteuid()}"


def find(model: ModelSettings, access: Access) -> BundleSource:
    """Where the files are of the model that the settings name. Raises UsageError where it isn't a model."""
    for place in (model.path, model.symbol):
        if place is not None and place.lower().endswith(".onnx") and Path(place).is_file():
            raise UsageError(
                f"{place}: an ONNX file, not an MXNet model",
                f"Make a bundle of it: mxspark model convert {place} --output FOLDER.",
            )
    source = with_output(_find(model, access), model.output_kind, model.output_name, model.output_also)
    if model.preset is None:
        return source
    if source.spec.preprocess.model_fields_set:
        raise UsageError(
            f"model.preset is {model.preset}, but the model's {SPEC_FILE} has preprocess",
            f"Leave model.preset out, or correct {SPEC_FILE}.",
        )
    return with_preset(source, model.preset)


def with_output(
    source: BundleSource, kind: Kind | None, name: str | None = None, also: Mapping[str, str] | None = None
) -> BundleSource:
    """`source` whose output is `name` and means `kind`, each where it is given, with the columns `also` beside it.

    Raises UsageError where they don't go together.
    """
    changes: dict[str, object] = {"kind": kind} if kind else {}
    if name:  # of another layer, model.yaml's kind says nothing
        changes = {"kind": kind, "name": name}
    if name or kind == "vector":
        changes |= {"threshold": None}
    changes |= {"also": {**source.spec.output.also, **also}} if also else {}
    if not changes:
        return source
    output = parse(ModelOutput, source.spec.output.model_dump() | changes, "the model's output")
    return replace(source, spec=source.spec.model_copy(update={"output": output}))


def with_preset(source: BundleSource, preset: PresetName) -> BundleSource:
    """`source` with what `preset` says of pixels. Raises UsageError where a packed bundle's model.yaml says that."""
    if {"height", "width"} & source.spec.input.model_fields_set and source.spec.preprocess.model_fields_set:
        raise UsageError(
            f"preset {preset} is for a model of which nothing says what pixels it wants, but this one has a "
            f"{SPEC_FILE} with input and preprocess",
            f"Leave the preset out, or correct {SPEC_FILE}.",
        )
    return replace(source, spec=source.spec.model_copy(update={"preset": preset}))


def _find(model: ModelSettings, access: Access) -> BundleSource:
    if model.path is None:
        locations = {role: place for role in ROLES if (place := getattr(model, role))}
        return BundleSource(ModelSpec(), locations, model.sha256, model.fetch_seconds, model.max_bytes)
    folder = model.path
    try:
        text = _read(storage.join(folder, SPEC_FILE), access, MAX_SPEC_BYTES).decode(errors="replace")
    except MissingError:
        text = None
    if text is None:  # not above: what is wrong with the folder doesn't come from that error
        found = _bare_folder(folder, access, model.sha256)
        return replace(found, seconds=model.fetch_seconds, max_bytes=model.max_bytes)
    spec = parse(ModelSpec, read_yaml(text, storage.join(folder, SPEC_FILE)), storage.join(folder, SPEC_FILE))
    files = {role: file for role in ROLES if (file := getattr(spec, role))}
    for role in ("symbol", "params"):
        if role not in files:
            raise UsageError(f"{storage.join(folder, SPEC_FILE)} names no {role} file", f"Add `{role}: {{file: …}}`.")
    digests = {role: file.sha256 for role, file in files.items() if file.sha256} | model.sha256
    locations = {role: _beside(folder, role, file.file, model.allow_outside) for role, file in files.items()}
    return BundleSource(spec, locations, digests, model.fetch_seconds, model.max_bytes)


def _beside(folder: str, role: str, file: str, allow_outside: bool) -> str:
    """Where a file is that a folder's model.yaml names. Raises UsageError where it is outside and must not be."""
    is_whole = "://" in file or file.startswith("/")
    path = unquote(file) if folder.startswith(("http://", "https://")) else file  # as a web server understands it
    if (is_whole or ".." in path.split("/")) and not allow_outside:
        raise UsageError(
            f"{storage.join(folder, SPEC_FILE)}: {role}.file is {printable(reprlib.repr(file))}, which is outside the "
            "model's folder",
            "Put the file beside model.yaml, or allow it: model.allow_outside (--set model.allow_outside=true; of "
            "`model inspect` --allow-outside).",
        )
    return file if is_whole else storage.join(folder, file)


def _bare_folder(folder: str, access: Access, sha256: Mapping[str, str]) -> BundleSource:
    """A folder with a symbol, a params and a labels file but no model.yaml, as model zoos have them."""
    if folder.startswith(("http://", "https://")):
        raise UsageError(
            f"{folder}: has no {SPEC_FILE}, and a web server can't be asked what else it has",
            "Give the files one by one: model.symbol, …",
        )
    try:
        names = [name for name in storage.open_store(folder, access).keys() if "/" not in name]
    except MissingError:
        if storage.is_s3(folder):  # it is the bucket that isn't there
            raise
        names = []
    endings = {"symbol": ("symbol.json",), "params": (".params",), "labels": labels.ENDINGS}
    found = {role: [name for name in names if name.lower().endswith(ending)] for role, ending in endings.items()}
    hint = (
        "Name the folder of a bundle (`mxspark model pack` makes one), or the files: model.symbol, model.params, "
        "model.labels."
    )
    for role in ("symbol", "params"):
        if len(found[role]) != 1:
            what = f"{len(found[role])} files" if found[role] else "no file"
            raise UsageError(
                f"{folder}: no model here: it has no {SPEC_FILE} and {what} ending in {endings[role][0]}", hint
            )
    if len(found["labels"]) > 1:
        raise UsageError(f"{folder}: has several files of labels: {', '.join(sorted(found['labels'])[:8])}", hint)
    return BundleSource(
        ModelSpec(), {role: storage.join(folder, files[0]) for role, files in found.items() if len(files) == 1}, sha256
    )


def _read(location: str, access: Access, limit: int) -> bytes:
    with tempfile.TemporaryFile() as file:
        try:
            storage.download(location, access, file, limit)
        except TooLargeError as error:
            raise UsageError(f"{location}: {error.problem} of such a file") from None
        file.seek(0)
        return file.read()


def fetch(source: BundleSource, cache_dir: Path, access: Access) -> Bundle:
    """The files on this node, verified. Safe to call from many processes at once: one fetches, the others wait for it.

    Raises UsageError naming the file that is missing or isn't what its digest says, StorageError where it can't be had.
    """
    paths, digests = {}, {}
    for role, location in source.locations.items():
        paths[role], digests[role] = _fetch_file(role, location, source, cache_dir, access)
    names = _read_labels(paths["labels"], source.locations["labels"]) if "labels" in paths else ()
    return Bundle(source.spec, paths, names, replace(source, sha256=digests))


def _fetch_file(role: str, location: str, source: BundleSource, cache_dir: Path, access: Access) -> tuple[Path, str]:
    expected = source.sha256.get(role)
    if "://" not in location:
        return Path(location), _verified(role, location, _digest_of_file(role, location), expected)
    with _cache_errors(cache_dir):
        cached = private_folder(cache_dir) / "files"
        cached.mkdir(exist_ok=True)
        if expected and _is_whole(cached / expected, expected):
            return cached / expected, expected
        # One lock for each location, so that of many workers that start together one downloads. What another has
        # fetched is hashed outside of it, by all of them at once.
        with _lock_of(location, cached, source.seconds) as lock:
            # Named after the lock: what a fetch that was killed left is written over by the next.
            unfinished = Path(f"{lock.lock_file}.fetching")
            if expected is None or not (cached / expected).exists():
                return _download(role, location, expected, unfinished, access, source.max_bytes)
        if _is_whole(cached / expected, expected):
            return cached / expected, expected
        with _lock_of(location, cached, source.seconds):  # it is damaged
            return _download(role, location, expected, unfinished, access, source.max_bytes)


def _is_whole(path: Path, digest: str) -> bool:
    """Whether a file of the cache is there, and what its name says: it may have been damaged or changed."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return _digest(file) == digest
    except OSError:
        return False


def _lock_of(location: str, folder: Path, seconds: float) -> FileLock:
    return FileLock(folder / f"{hashlib.sha256(location.encode()).hexdigest()[:16]}.lock", timeout=seconds)


@contextmanager
def _cache_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{folder}: can't take the model's files: {error.strerror or error}",
            "Set cache_dir to a folder with room that can be written.",
        ) from None


def _download(
    role: str, location: str, expected: str | None, unfinished: Path, access: Access, limit: int | None
) -> tuple[Path, str]:
    """The file under the name of its digest. Names it in what storage raises, as the same kind of error."""
    try:
        with open(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w+b") as file:
            storage.download(location, access, file, limit)
            digest = _verified(role, location, _digest(file), expected)
        return unfinished.replace(unfinished.with_name(digest)), digest
    except TooLargeError as error:
        raise UsageError(
            f"{location}: {error.problem} by model.max_bytes", "Check the model's location, or raise it."
        ) from None
    except StorageError as error:
        problem = f"the model's {role} file: {error.problem}"
        named = type(error)(problem, error.hint or "Check the model's location.", cause=error.cause)
        named.place = error.place
        raise named from error
    finally:
        unfinished.unlink(missing_ok=True)


def _verified(role: str, location: str, digest: str, expected: str | None) -> str:
    if expected and digest != expected:
        raise UsageError(
            f"{location}: this is not the {role} file it should be: sha256 {digest}, expected {expected}",
            "It is damaged or another version. Fetch it again, or correct the digest if the new file is meant.",
        )
    return digest


def _digest_of_file(role: str, location: str) -> str:
    try:
        with open(beneath.open_followed(Path(location)), "rb") as file:
            return _digest(file)
    except (StorageError, OSError) as error:
        why = error.problem if isinstance(error, StorageError) else error.strerror
        raise UsageError(
            f"{location}: the model's {role} file can't be read: {why}", "Check the model's location."
        ) from None


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # typeshed asks for readinto


def _read_labels(path: Path, location: str) -> tuple[str, ...]:
    if path.stat().st_size > MAX_LABELS_BYTES:
        raise UsageError(f"{location}: {path.stat().st_size:,} bytes are too many for a labels file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{location}: the labels are not UTF-8 text", "Save the file as UTF-8.") from None
    return labels.read(text, location)


def file_names(source: BundleSource) -> dict[str, str]:
    """The names by role of the model's files in a bundle."""
    return {role: location.partition("?")[0].rsplit("/", 1)[-1] for role, location in source.locations.items()}


def pack(source: BundleSource, cache_dir: Path, access: Access, folder: Path) -> ModelSpec:
    """Makes a bundle in `folder`: copies of the files, and, last, a model.yaml with their digests, which it returns."""
    bundle = fetch(source, cache_dir, access)
    store = storage.FolderStore(folder, follow_links=False)
    names = file_names(source)
    if len(set(names.values())) < len(names):
        raise UsageError(
            f"two of the model's files have the same name ({', '.join(names.values())})",
            "Rename one: a bundle is one folder.",
        )
    for role, name in names.items():
        store.upload(name, bundle.paths[role])
    entries = {role: FileSpec(file=name, sha256=bundle.source.sha256[role]) for role, name in names.items()}
    spec = source.spec.model_copy(update={**dict.fromkeys(ROLES), **entries})
    store.write(SPEC_FILE, dump_yaml(spec).encode())
    return spec
