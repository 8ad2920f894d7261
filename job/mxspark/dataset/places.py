"""One place of the input: what its keys are relative to, and which keys there are its own."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from mxspark import storage
from mxspark.dataset import manifest
from mxspark.errors import UsageError
from mxspark.settings.job import SUFFIXES, InputSettings, resolved
from mxspark.storage.folder import escaped
from mxspark.text import globs


@dataclass(frozen=True)
class Place:
    """A folder, a bucket's prefix, one file, a pattern, or a manifest."""

    path: str  # as it was given
    base: str  # the location that keys are relative to
    prefix: str = ""  # of the keys that are listed
    pattern: str = ""  # a regular expression that keys must match, where it isn't empty
    suffixes: tuple[str, ...] = ()  # that keys must have, in lower case; none takes all
    is_manifest: bool = False
    is_file: bool = False  # its one key is `prefix`

    @property
    def is_folder(self) -> bool:
        """Whether keys come in no order."""
        return not self.is_manifest and not storage.is_s3(self.base)

    def whole(self, key: str) -> str:
        """The key as a place that says all: s3://bucket/key, /folder/file, https://…"""
        if self.is_manifest and (is_address(key) or (key.startswith("/") and not storage.is_s3(self.base))):
            return key
        return storage.join(resolved(self.base), key)

    def holds(self, key: str) -> bool:
        """Whether a key that is a path from the root on lies below this place's folder, as it is written, or is its
        file.
        """
        if "://" in self.base or ".." in key.split("/"):  # a folder before it may be a link
            return False
        return any(key == base + self.prefix if self.is_file else key.startswith(base) for base in self._bases)

    def may_list(self, key: str, *, is_whole: bool) -> bool:
        """Whether this place, which is no manifest, may list the key, as far as its name tells. Whole keys begin
        with their place.
        """
        start = f"{resolved(self.base).rstrip('/')}/" if is_whole else ""
        own = key.removeprefix(start)
        # Names in a bucket may contain asterisks.
        if not key.startswith(start) or not own.startswith(globs.literal_start(self.prefix)):
            return False
        return own == self.prefix if self.is_file else self._pattern is None or self._pattern.fullmatch(own) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return re.compile(self.pattern) if self.pattern else None

    @cached_property
    def _bases(self) -> tuple[str, ...]:
        """This place's folder, as it is written and as links lead there."""
        return tuple(f"{base.rstrip('/')}/" for base in (resolved(self.base), os.path.realpath(self.base)))


def may_lead_out(key: str) -> bool:
    """Whether a key may name a file outside the folder that it is relative to: a path from the root on, or one with
    `..` in it.
    """
    return key.startswith("/") or (".." in key and ".." in key.split("/"))


def is_address(key: str) -> bool:
    """Whether a key says where it is: s3://…, https://…"""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", key) is not None


def is_web(place: str) -> bool:
    """Whether it is http:// or https://."""
    return place[:8].lower().startswith(("http://", "https://"))


def find(path: str, settings: InputSettings, is_there: Callable[[str, str], bool]) -> Place:
    """The place that `path` names; `is_there` says of a bucket whether keys begin with a prefix, whose asterisks are
    then none of ours.

    Raises UsageError where it can't be one.
    """
    chosen = SUFFIXES if settings.suffixes is None else settings.suffixes
    explicit = settings.suffixes or ()
    # Not pathlib's, which raise where a name can't be looked at.
    is_folder, is_file = os.path.isdir(path), os.path.isfile(path)  # noqa: PTH112, PTH113
    if manifest.is_manifest(path) and not is_folder:
        if settings.base is None and is_web(path):
            raise UsageError(
                f"{path}: a manifest from the web does not say where its images are", "Set input.base to that place."
            )
        return Place(path, settings.base or storage.parent(path), suffixes=explicit, is_manifest=True)
    if (is_file or (storage.is_s3(path) and not globs.is_glob(path))) and (hint := manifest.why_not_read(path)):
        raise UsageError(f"{path}: by its name neither an image nor a list of images that can be read", hint)
    if is_web(path):
        raise UsageError(
            f"{path}: from the web, only lists of images are an input",
            "Write the images' addresses into a file, one a line: --input list.txt.",
        )
    if storage.is_s3(path):
        bucket, prefix = storage.split_s3(path)
        base = f"s3://{bucket}"
        if not globs.is_glob(prefix) or is_there(base, prefix):
            return Place(path, base, prefix, suffixes=chosen)
        return _matching(
            path, base, prefix, globs.literal_start(prefix), explicit if globs.names_suffix(prefix) else chosen
        )
    if "://" in path or is_folder or not (globs.is_glob(path) or is_file):
        return Place(path, path, suffixes=chosen)
    if is_file:
        name = escaped(resolved(path).rpartition("/")[2])  # as a listing writes it
        return Place(path, storage.parent(path), name, re.escape(name), is_file=True)
    start = globs.literal_start(path)
    above, slash, prefix = start.rpartition("/")
    return _matching(
        path,
        above or slash or ".",
        path[len(above + slash) :],
        prefix,
        explicit if globs.names_suffix(path) else chosen,
    )


def _matching(path: str, base: str, pattern: str, prefix: str, suffixes: tuple[str, ...]) -> Place:
    try:
        return Place(path, base, prefix, globs.regex(pattern), suffixes)
    except ValueError as error:
        raise UsageError(f"{path}: {error}", "Correct the pattern.") from None
