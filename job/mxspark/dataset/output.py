"""The folder that a run writes to: whether it can be used, what of it is ours, and its one text object."""

import os
import re
import socket
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from mxspark.dataset import plan, predictions
from mxspark.dataset.plan import Plan
from mxspark.errors import MxsparkError, UsageError
from mxspark.settings.job import OutputSettings
from mxspark.storage import Access, Hold, MissingError, Store, join, open_output, parent, usage_errors
from mxspark.text.words import counted

DELETERS = 16  # parts that are deleted at a time
SUMMARY = "_summary.json"
SUCCESS = "_SUCCESS"
LOCK = "_lock.json"
FOLDERS = ("_plan", "_parts", "_model", "_runs")
TEXT_OBJECT = "predictions.txt"
REPORT = "_report.html"  # readers of tables pass by what begins with an underscore
# All that a run writes: --overwrite deletes this and nothing else.
_PARTS = "|".join(part.pattern for part in predictions.PARTS.values())
OURS = re.compile(rf"_plan/.*|_parts/.*|_model/.*|_runs/.*|{_PARTS}|{TEXT_OBJECT}|{SUMMARY}|{SUCCESS}|{REPORT}")


def check(store: Store, settings: OutputSettings, probes: bool = True) -> Plan | None:
    """The plan of an earlier run here, None where this run starts from the beginning. Leaves nothing behind; where it
    `probes`, it writes and deletes an object.

    Raises UsageError where the place can't be written, or holds what would be mixed up with the results.
    """
    with usage_errors("output.path", "Choose a place that can be written."):
        if probes:
            store.check_writable()
        existing = _begun_by(store, settings.submission) if settings.overwrite else plan.load(store)
        if existing is None:
            _refuse_others(store, settings.overwrite)
        return existing


def _begun_by(store: Store, submission: str | None) -> Plan | None:
    """What this very submission began before its driver was started again; what others left is to be overwritten,
    damaged or not.
    """
    if submission is None:
        return None
    with suppress(MxsparkError):
        existing = plan.load(store)
        if existing is not None and existing.settings.get("output", {}).get("submission") == submission:
            return existing
    return None


def _refuse_others(store: Store, overwrite: bool) -> None:
    for name in _names(store):
        if name in FOLDERS:  # with a link there, this run would write, and --overwrite delete, wherever it leads
            raise UsageError(
                f"output.path: {store.name}/{name} is a link or a file, where a run has a folder", "Remove it."
            )
        hidden = name.startswith(("_", "."))  # as readers of tables see it
        if not hidden and not (overwrite and OURS.fullmatch(name)):
            hint = "Choose an empty or new place."
            if OURS.fullmatch(name):
                hint = "Choose another place, or restart with --overwrite, which deletes them."
            raise UsageError(f"output.path: {store.name} is not empty: it has {name}, which isn't part of a run", hint)


def _names(store: Store) -> Iterator[str]:
    with suppress(MissingError):
        yield from store.keys(skip=lambda _error: None)  # such as a volume's lost+found


def describe(store: Store, output_format: str) -> str | None:
    """What an earlier run left here, in words; None where there is nothing of the kind."""
    existing = None
    with suppress(MxsparkError):  # one that is damaged, or of another version
        existing = plan.load(store)
    if existing is None:
        return next((name for name in _names(store) if OURS.fullmatch(name)), None)
    parts = len(predictions.finished_shards(store, output_format))
    return (
        f"the run of {existing.created}, {parts:,} of {counted(existing.shards, 'part')} of "
        f"{counted(existing.keys, 'image')}"
    )


def is_ours(name: str) -> bool:
    """Whether a run writes an object of this name."""
    return OURS.fullmatch(name) is not None or name == "_writable"


def sweep(store: Store, settings: OutputSettings, access: Access) -> None:
    """Removes what writers that were killed left unfinished; no reader sees it."""
    with suppress(MxsparkError):  # the right to look for it may be missing, and it does no harm but take room
        store.sweep(is_ours)
        if settings.text_object:
            name = settings.text_object.rsplit("/", 1)[-1]
            open_output(parent(settings.text_object), access).sweep(name.__eq__, name)


def hold(store: Store, settings: OutputSettings) -> AbstractContextManager[Hold]:
    """The output, for this run alone. Raises HeldError where another run has it."""
    owner = {
        "run": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "overwrite": settings.overwrite,
        "submission": settings.submission,
    }
    return store.hold(LOCK, owner, settings.lock_seconds)


def clear(store: Store) -> None:
    """Deletes what an earlier run left, the marks of its success first."""
    for mark in (SUCCESS, SUMMARY, REPORT, plan.PLAN):
        store.delete(mark)
    ours = (name for name in _names(store) if OURS.fullmatch(name))
    with ThreadPoolExecutor(DELETERS) as pool:
        while some := list(islice(ours, 1000)):  # there may be very many
            for _ in pool.map(store.delete, some):
                pass


def write_text(store: Store, frozen: Plan, settings: OutputSettings, access: Access) -> str:
    """Writes the one text object out of the parts, in key order; returns where it is."""
    location = settings.text_object or join(settings.path, TEXT_OBJECT)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as file:
        for shard in range(frozen.shards):
            file.writelines(predictions.text_lines(store, shard))
        file.flush()
        open_output(parent(location), access).upload(location.rsplit("/", 1)[-1], Path(file.name))
    return location


def table(settings: OutputSettings) -> str:
    """What a reader of the results should be pointed at."""
    return settings.path if settings.format != "text" else settings.text_object or join(settings.path, TEXT_OBJECT)
