"""The images: which keys there are, and the bytes behind one.

A key is what a person would call the image: the S3 key without the bucket, the path relative to the folder, or the
manifest's own entry. Where the input has several places, it is the whole place, s3://bucket/key or /folder/file, so
that no two can be mixed up.
"""

import heapq
import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import chain, islice
from urllib.parse import quote

from mxspark import storage
from mxspark.dataset import manifest, places, skipped
from mxspark.dataset.places import Place
from mxspark.dataset.skipped import Skipped
from mxspark.errors import UsageError
from mxspark.settings.job import InputSettings, resolved
from mxspark.storage import Access, DeniedError, StorageError, WebReader
from mxspark.storage.folder import escaped
from mxspark.text import globs
from mxspark.text.words import printable

LONGEST_SHOWN = 200  # characters of a key in a message


class Source:
    """The images that the settings name."""

    def __init__(self, settings: InputSettings, access: Access) -> None:
        self._settings = settings
        self._access = access
        # One client for each bucket that a manifest names.
        self._store = lru_cache(maxsize=64)(lambda location: storage.open_store(location, access))
        self._web = WebReader(access.settings)
        excluded = "|".join(f"(?:.*/)?{globs.regex(pattern)}" for pattern in settings.exclude)
        self._excluded = re.compile(excluded, re.DOTALL) if excluded else None
        self.skipped = Skipped()  # what was left out of the keys that `keys` listed last
        self.empty: list[str] = []  # places in which it found no image

    @cached_property
    def _places(self) -> list[Place]:
        return [places.find(path, self._settings, self._has_keys) for path in self._settings.paths]

    def _has_keys(self, base: str, prefix: str) -> bool:
        return next(self._store(base).keys(prefix, lambda _error: None), None) is not None

    @property
    def _keys_are_whole(self) -> bool:
        return len(self._settings.paths) > 1

    def keys(self) -> Iterator[str]:
        """The keys that are taken, place by place as listed, `limit` of them at most; `skipped` counts what is left
        out.

        Raises UsageError where there are none, StorageError where a place isn't there or can't be read.
        """
        self.skipped, self.empty = Skipped(), []
        taken = 0
        for key in islice(chain.from_iterable(map(self._of, self._places)), self._settings.limit):
            taken += 1
            yield key
        if taken == 0:
            raise self._no_images()

    def _no_images(self) -> UsageError:
        counts = self.skipped.counts()
        return UsageError(
            f"{self._settings.place}: no "
            f"images{f', only {skipped.in_words(counts)}' if counts else ': there is nothing there'}",
            "Check input.path" + (", or set input.suffixes (an empty list takes every key)." if counts else "."),
        )

    def reach(self) -> None:
        """Asks each place for its first key, a manifest on S3 for its end. Raises StorageError where one isn't there
        or can't be read.
        """
        for place in self._places:
            if not place.is_manifest:
                self._has_keys(place.base, place.prefix)
            elif storage.is_s3(place.path):
                self._store(storage.parent(place.path)).read_tail(place.path.rsplit("/", 1)[-1], 1)

    def check(self) -> None:
        """Raises StorageError or UsageError where a place is gone, or has no images any more. Manifests are not
        checked.
        """
        found = [place.is_manifest or next(self._matching(place), None) is not None for place in self._places]
        if not any(found):
            raise self._no_images()

    def _of(self, place: Place) -> Iterator[str]:
        """The keys of one place; where there is a limit, the first. Buckets and manifests have an order; of a
        folder, it is by name.
        """
        keys = self._matching(place)
        if self._settings.limit is not None and place.is_folder:
            keys = iter(heapq.nsmallest(self._settings.limit, keys))
        taken = 0
        for key in keys:
            taken += 1
            yield place.whole(key) if self._keys_are_whole else key
        if taken == 0:
            self.empty.append(place.path)

    def _matching(self, place: Place) -> Iterator[str]:
        pattern = re.compile(place.pattern) if place.pattern else None
        for key in self._listed(place):
            if pattern and not pattern.fullmatch(key):
                continue
            if self._excluded and self._excluded.fullmatch(key):
                self.skipped.add(skipped.EXCLUDED)
            elif key.endswith("/") and not place.is_manifest:  # which some tools make of folders
                self.skipped.add(skipped.MARKER)
            elif place.suffixes and not key.lower().endswith(place.suffixes) and key != place.prefix:
                self.skipped.add(skipped.suffix(key))
            else:
                yield key

    def _listed(self, place: Place) -> Iterator[str]:
        if place.is_manifest:
            if not places.is_web(place.base):
                self._store(place.base)  # refuses what is no place of images
            keys = manifest.read(
                place.path, self._access, lambda: self.skipped.add(skipped.NO_KEY), self._settings.max_manifest_bytes
            )
            return keys if storage.is_s3(place.base) or places.is_web(place.base) else self._within(place, keys)
        return self._store(place.base).keys(place.prefix, lambda error: self.skipped.add_unreadable(error.problem))

    def _within(self, place: Place, keys: Iterator[str]) -> Iterator[str]:
        """The keys of a manifest whose base is a folder. Raises UsageError at one that leads out of it, where that
        isn't allowed.
        """
        for key in keys:
            if (
                places.may_lead_out(key)
                and not places.is_address(key)
                and not (self._settings.allow_outside or place.holds(key))
            ):
                raise UsageError(
                    f"{place.path}: {printable(key[:LONGEST_SHOWN])} leads out of {place.base}, the folder that its "
                    "keys are relative to, or has .. in it",
                    "Set input.base to the folder that holds all of them, or allow any file: input.allow_outside "
                    "(--set input.allow_outside=true).",
                )
            yield key

    def _refuse_unlisted(self, key: str) -> None:
        """Raises DeniedError at a key that no listing of this input would have, where no manifest may name any:
        likewise.
        """
        if not any(
            place.is_manifest or place.may_list(key, is_whole=self._keys_are_whole) for place in self._all_places
        ):
            raise DeniedError("isn't a key of this input", place=key)

    def _refuse_outside(self, key: str) -> None:
        """Raises DeniedError at a path that leads out of the input's folders: the plan lies where others may be able
        to write.
        """
        if not self._settings.allow_outside and not any(place.holds(key) for place in self._all_places):
            raise DeniedError("leads out of the input's folders, which input.allow_outside doesn't allow", place=key)

    @cached_property
    def _all_places(self) -> list[Place]:
        """All places, as far as reading has to know them: no bucket is asked for that."""
        return [places.find(path, self._settings, lambda _base, _prefix: True) for path in self._settings.paths]

    def read(self, key: str) -> bytes:
        """The image's bytes. Raises StorageError, TooLargeError beyond `max_bytes`."""
        if manifest.hides_user(key):
            raise DeniedError(
                "its line has a user or a password, which addresses in a manifest can't have",
                "Write the address without, of a server that needs none; s3:// takes its credentials from the "
                "environment.",
                place=key,
            )
        self._refuse_unlisted(key)
        place, limit = self._all_places[0], self._settings.max_bytes
        if not self._keys_are_whole and not place.is_manifest:
            return self._store(place.base).read(key, limit)
        if places.is_web(key) or (places.is_web(place.base) and not places.is_address(key)):
            # Below a base, a key is a name, in which # and ? are characters as others are.
            return self._web.read(key if places.is_address(key) else storage.join(place.base, quote(key)), limit)
        if storage.is_s3(key):
            try:
                bucket, name = storage.split_s3(key)
            except UsageError as error:
                raise StorageError(error.problem, error.hint) from None
            if not name:
                raise StorageError(f"{key}: names a bucket, and no object in it", "Write s3://bucket/key.")
            return self._store(f"s3://{bucket}").read(name, limit)
        if places.is_address(key):
            raise StorageError(f"{key}: only s3://, https://, http:// and paths are read")
        if places.may_lead_out(key) and (self._keys_are_whole or not storage.is_s3(place.base)):
            self._refuse_outside(key)
            whole = key if key.startswith("/") else f"{escaped(resolved(place.base))}/{key}"
            return self._store("/").read(whole.lstrip("/"), limit)
        return self._store(place.base).read(key, limit)
