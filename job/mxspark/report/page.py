"""A run's report: one HTML page that asks for nothing and runs nothing.

The only place that imports jinja2. Charts are SVG from the template's own macros: of the plotting libraries pygal draws
no timelines and puts scripts and addresses into its SVG, matplotlib would be a large dependency of every driver.
"""

import hashlib
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from mxspark import __version__
from mxspark.errors import MxsparkError
from mxspark.report import charts, thumbnails
from mxspark.report.difference import Difference
from mxspark.report.finished_run import FinishedRun
from mxspark.report.hints import hint
from mxspark.row_status import RowStatus
from mxspark.run import statistics
from mxspark.run.statistics import Statistics
from mxspark.storage import Access
from mxspark.text import duration
from mxspark.text.words import printable, without_controls, without_middle

SHOWN_CLASSES = 30
SHOWN_TRUTHS = 25  # of a matrix of true labels and classes: more can't be read
SHOWN_CONFUSIONS = 20
CHARTED_RUNS = 3  # the last ones
LONGEST_TEXT = 300  # characters of a key or an error
LONGEST_SETTINGS = 100_000
# Of whose images something may be seen; others have no pixels, or none that this machine should try to decode.
PARTLY_DECODED = {
    RowStatus.TRUNCATED,
    RowStatus.DECODE_ERROR,
    RowStatus.TOO_MANY_FRAMES,
    RowStatus.UNSUPPORTED_PIXELS,
    RowStatus.NOT_FINITE,
}


@dataclass(frozen=True)
class Report:
    """All that the page shows."""

    run: FinishedRun
    found: Statistics
    pictures: Mapping[str, str]  # data: URLs by key
    pictures_note: str  # why there are none, or not all
    difference: Difference | None = None


def gather(
    run: FinishedRun,
    access: Access,
    pictures: bool,
    difference: Difference | None = None,
    found: Statistics | None = None,
) -> Report:
    """Reads the table, but for what is `found` already; `pictures` of a few images are read from the input."""
    found = found or statistics.gather(run.store, run.shards, run.format, run.true_label)
    made: Mapping[str, str] = {}
    note = "The images were not read: `mxspark report OUTPUT` does, where they can be."
    if pictures:
        whole = [row.key for row in (*found.least_certain, *found.sample)]
        broken = [key for status, some in found.examples.items() if status in PARTLY_DECODED for key, _ in some]
        try:
            made = thumbnails.make(whole, broken, run.setting("input") or {}, access)
            left = len(set(whole) - made.keys())
            note = f"{left:,} of the images could not be read any more, or have no room here." if left else ""
        except MxsparkError as error:
            note = f"The images can't be read: {error.problem}"
    return Report(run, found, made, note, difference)


def html(report: Report) -> bytes:
    """The page, in UTF-8."""
    environment = Environment(
        loader=DictLoader({name: _file(name) for name in ("report.html", "charts.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "percent": lambda value: f"{value:.2%}",
        "seconds": _seconds,
        "text": shown,
        "when": _when,
        "plain": lambda text: without_controls(text[:LONGEST_SETTINGS]),
        "json": lambda value: json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True),
    }
    style = _file("report.css")
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = environment.get_template("report.html").render(
        style=Markup(style),  # noqa: S704  # a file of this package
        style_digest=digest,
        **_content(report),
    )
    return page.encode(errors="replace")


def _file(name: str) -> str:
    return files("mxspark.report").joinpath("templates", name).read_text(encoding="utf-8")


def shown(text: object, length: int = LONGEST_TEXT) -> str:
    """A text as it may be shown: control characters and those that turn the direction of writing are escaped."""
    return printable(without_middle(str(text), length))


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 100 else duration.in_words(value)


def _when(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError):
        return "?"


def _content(report: Report) -> dict[str, Any]:
    run, found = report.run, report.found
    charted = [past for past in run.runs if past.shards][-CHARTED_RUNS:]
    return {
        "report": report,
        "run": run,
        "plan": run.plan,
        "found": found,
        "counts": found.counts,
        "version": __version__,
        "made": _when(datetime.now(UTC).timestamp()),
        "title": shown(run.store.name),
        "facts": _facts(run),
        "summary": _this_run(run),
        "past_runs": run.runs,
        "charted": [(past, charts.timeline(past), charts.rates(past), _workers(past)) for past in charted],
        "charts": charts,
        "hint": hint,
        "classes": [(found.name(index), count) for index, count in found.classes.most_common(SHOWN_CLASSES)],
        "confidence": charts.columns(found.confidences.tolist()),
        "bins": _bins(found),
        "labels": _labels(found),
        "figures": run.figures,
        "settings": run.plan.settings,
        "identity": run.plan.identity,
    }


def _workers(past: Any) -> list[charts.Worker]:
    return sorted(charts.workers(past), key=lambda worker: -worker.seconds("seconds"))[: charts.MOST_LANES]


def _this_run(run: FinishedRun) -> dict[str, Any]:
    """What the last run wrote of itself; empty where it did nothing, or others wrote something else."""
    found = run.summary.get("this_run")
    return found if isinstance(found, dict) else {}


def _facts(run: FinishedRun) -> list[tuple[str, str]]:
    """What ran, by name."""
    plan = run.plan
    path = run.setting("input", "path")
    model = run.setting("model", "path") or run.setting("model", "symbol")
    facts = [
        ("Output", run.store.name),
        ("Input", ", ".join(map(str, path)) if isinstance(path, list) else path),
        ("Model", model),
        ("Model digest", plan.identity.get("model")),
        ("Precision", plan.identity.get("precision")),
        ("Digest at that precision", plan.identity.get("optimized")),
        ("Ran on", _this_run(run).get("context") or (run.runs[-1].context if run.runs else None)),
        ("Format", run.format),
        ("Plan", f"{plan.id}, made {plan.created}: {plan.shards:,} shards of {plan.shard_size:,} images at most"),
        ("mxspark", run.summary.get("mxspark") or (run.runs[-1].version if run.runs else None)),
        ("With", ", ".join(f"{name} {version}" for name, version in run.runs[-1].versions.items()) if run.runs else ""),
        ("Finished", run.summary.get("finished")),
    ]
    return [(name, shown(value)) for name, value in facts if value]


def _bins(found: Statistics) -> list[tuple[str, int, int, int]]:
    """Spans of confidence: rows, labelled ones among them, and right ones among these."""
    width = 1 / statistics.BINS
    spans = [f"{place * width:.2f} to {(place + 1) * width:.2f}" for place in range(statistics.BINS)]
    columns = (found.confidences.tolist(), found.labelled_of.tolist(), found.right_of.tolist())
    return list(zip(spans, *columns, strict=True))


@dataclass(frozen=True)
class Labels:
    """How true labels and classes go together. `matrix` is empty where there are too many for one."""

    truths: tuple[str, ...]
    classes: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]  # (truths, classes)
    right: tuple[tuple[bool, ...], ...]
    confusions: tuple[tuple[str, str, int], ...]
    worst: tuple[tuple[str, int, int], ...]  # true label, rows, right ones; the worst first

    def share(self, row: int, column: int) -> int:
        """Of a true label's rows, in tenths."""
        total = sum(self.matrix[row])
        return round(10 * self.matrix[row][column] / total) if total else 0


def _labels(found: Statistics) -> Labels:
    pairs = found.paired
    words, truth_of, class_of = pairs.words, pairs.truths, pairs.classes
    places = {word: place for place, word in enumerate(words)}
    indices = np.unique(class_of).tolist()
    right = [
        (places[name] << 32) + index
        for index in indices
        for name in (found.labels.get(index), str(index))
        if name in places
    ]
    is_right = np.isin(pairs.numbers, np.array(right, np.int64))
    totals, rights = (
        np.bincount(truth_of, counts, len(words)).astype(np.int64).tolist()
        for counts in (pairs.counts, pairs.counts * is_right)
    )
    paired = [place for place, total in enumerate(totals) if total]
    worst = sorted(paired, key=lambda place: (rights[place] / totals[place], words[place]))[:SHOWN_CONFUSIONS]
    wrong = np.flatnonzero(~is_right)[:SHOWN_CONFUSIONS]
    confused = zip(truth_of[wrong].tolist(), class_of[wrong].tolist(), pairs.counts[wrong].tolist(), strict=True)
    is_small = max(len(paired), len(indices)) <= SHOWN_TRUTHS
    truths, counts = (sorted(paired, key=words.__getitem__), found.pairs) if is_small else ([], Counter())
    return Labels(
        tuple(words[truth] for truth in truths),
        tuple(found.name(index) for index in indices) if truths else (),
        tuple(tuple(counts[words[truth], index] for index in indices) for truth in truths),
        tuple(tuple((truth << 32) + index in right for index in indices) for truth in truths),
        tuple((words[truth], found.name(index), number) for truth, index, number in confused),
        tuple((words[place], totals[place], rights[place]) for place in worst),
    )
