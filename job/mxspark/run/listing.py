"""The input of a run that starts from the beginning: listed, and what of it gets no row."""

from collections.abc import Iterator, Mapping
from itertools import chain

from mxspark.dataset import skipped
from mxspark.dataset.plan import KeySpool
from mxspark.dataset.source import Source
from mxspark.run.progress import RunListener
from mxspark.settings.job import InputSettings
from mxspark.storage import Access, usage_errors

SHOWN_PLACES = 3


class Listing:
    """The keys of an input, of which the first is read at once: one that can't be listed is an error before Spark
    starts.
    """

    def __init__(self, settings: InputSettings, access: Access, first_contact: Access, progress: RunListener) -> None:
        """Raises UsageError, StorageError where the input has no images or can't be listed."""
        progress.step(f"Listing {settings.place}")
        self._progress = progress
        self._source = Source(settings, access)
        with usage_errors("input.path", "Check input.path."):
            Source(settings, first_contact).reach()
            keys = self._source.keys()
            self._keys: Iterator[str] = chain([next(keys)], keys)

    def fill(self, spool: KeySpool) -> None:
        """Lists the rest, and reports what is left out."""
        with usage_errors("input.path", "Check input.path."):
            spool.fill(self._keys)
        for problem in self._source.skipped.unreadable:
            self._progress.note(f"A folder is left out: {problem}")
        if empty := self._source.empty:
            more = " …" if len(empty) > SHOWN_PLACES else ""
            self._progress.note(f"No images in {', '.join(empty[:SHOWN_PLACES])}{more}")
        if doubles := spool.listed - len(spool):
            self._progress.note(f"Duplicate keys: {doubles:,}. Each key has one row.")
        note_skipped(self.skipped, self._progress)

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many entries of the input got no key, by reason."""
        return self._source.skipped.counts()


def note_skipped(counts: Mapping[str, int], progress: RunListener) -> None:
    if counts:
        progress.note(f"Skipped: {skipped.in_words(counts)}.{skipped.hint(counts)}")
