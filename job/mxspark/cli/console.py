"""What a person sees: progress, the summary, the first predictions, errors.

The only place that imports rich. Progress and errors go to standard error, results to standard output. What a run
prints is JSON instead where `log_as_json` says so.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial, reduce
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.prompt import Confirm, Prompt
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from mxspark.cli.json_lines import JsonLines
from mxspark.dataset import skipped
from mxspark.errors import MxsparkError, UsageError, one_line, trace
from mxspark.run.last_word import SHOWN_NUMBERS, LastWord
from mxspark.run.progress import Meter, Progress, Silent
from mxspark.text import duration
from mxspark.text.words import counted, printable, without_controls

if TYPE_CHECKING:  # they import MXNet's, AWS's and Spark's libraries, which showing a help does without
    from mxspark.benchmark.estimate import Estimate
    from mxspark.benchmark.results import Results as BenchmarkResults
    from mxspark.dataset.columns import Vector
    from mxspark.dataset.plan import Plan
    from mxspark.dataset.predictions import Prediction, Row
    from mxspark.doctor import Finding
    from mxspark.inference.network import Inspection
    from mxspark.report.difference import Difference
    from mxspark.run.last_word import Results
    from mxspark.run.status import Status
    from mxspark.run.summary import Performance
    from mxspark.submit.remote_job import RemoteStatus

PLAIN_SECONDS = 10  # between lines of progress where there is no terminal

WIDTH = 120  # of tables where there is neither a terminal nor COLUMNS to ask


class _SafeConsole(Console):
    """Shows what it is given, and obeys none of it: keys, file names, servers' words and pods' logs are other people's,
    and a terminal takes control characters in them for commands. Whatever is printed passes here."""

    def render_str(self, text: str, **how: Any) -> Text:  # before tables are laid out
        return super().render_str(without_controls(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else without_controls(segment.text)
            yield segment if text is segment.text else Segment(text, segment.style)


class _SafeLog(logging.StreamHandler["TextIO"]):
    """Python's last resort, by which libraries' warnings come to standard error, with the same care."""

    def format(self, record: logging.LogRecord) -> str:
        return without_controls(super().format(record))

    def emit(self, record: logging.LogRecord) -> None:
        if _json is None:
            super().emit(record)
            return
        try:
            text = record.getMessage()
        except Exception as error:  # noqa: BLE001  # as with every handler, a library's faulty call does not end the run
            text = f"a message that can't be formatted: {one_line(error)}"
        _json.library(record.levelname.lower(), record.name, text)

    @property
    def stream(self) -> "TextIO":  # looked up at each use, for it may be replaced
        return sys.stderr

    @stream.setter
    def stream(self, _stream: "TextIO") -> None: ...


logging.lastResort = _last_resort = _SafeLog()
_last_resort.setLevel(logging.WARNING)

_is_terminal = sys.stdout.isatty()
_width = None if _is_terminal or "COLUMNS" in os.environ else WIDTH
_out = _SafeConsole(highlight=False, markup=False, emoji=False, width=_width, soft_wrap=not _is_terminal)
# In a notebook plain lines, as in a log: its kernel sets FORCE_COLOR, which rich takes for a terminal.
_err = _SafeConsole(
    stderr=True,
    force_jupyter=False,
    force_terminal=False if "ipykernel" in sys.modules else None,
    soft_wrap=True,
    highlight=False,
    markup=False,
    emoji=False,
)


_json: JsonLines | None = None  # where a run prints JSON


def log_as_json(yes: bool) -> None:
    """Whether what a run prints is JSON from now on."""
    _listen((_json or JsonLines()) if yes else None)


def _listen(lines: JsonLines | None) -> None:
    """What a run prints goes there from now on, Python's own warnings too."""
    global _json  # as standard error and output are this process's
    _json = lines
    logging.captureWarnings(lines is not None)
    warned = logging.getLogger("py.warnings")
    if lines is not None:
        warned.addHandler(_last_resort)  # else Python gives it one that drops them
    else:
        warned.removeHandler(_last_resort)


class ConsoleProgress(Silent):
    """A progress bar on a terminal; elsewhere a plain line from time to time."""

    def __init__(self, yes: bool = False) -> None:
        """`yes` answers all questions."""
        self._yes = yes
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=_err,
            transient=True,
            disable=not _err.is_terminal,
        )
        self._task = self._bar.add_task("Starting", total=None, detail="")
        self._meter = Meter()
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, what: str) -> None:
        self._bar.update(self._task, description=what, detail="")
        self._plain(what)

    def note(self, what: str) -> None:
        _tell(Text(what))

    def planned(self, keys: int, done: int, shards: int, shards_done: int = 0) -> None:
        self._meter.planned(keys, done, shards, shards_done)
        self._bar.update(
            self._task, description="Starting workers", total=keys, completed=done, detail=f"{done:,}/{keys:,} images"
        )
        resumed = f", of which an earlier run did {done:,}" if done else ""
        self._plain(f"Predicting {counted(keys, 'image')} in {counted(shards, 'shard')}{resumed}")
        self._plain("Starting workers")

    def done(self, images: int, failed: int, shards: int) -> None:
        self._meter.done(images, failed, shards)
        detail = str(self._meter.now)
        self._bar.update(self._task, description="Predicting", completed=images, detail=detail)
        if time.monotonic() - self._last_line > PLAIN_SECONDS:
            self._plain(detail)

    def confirm(self, question: str) -> bool:
        self._bar.stop()
        try:
            return confirm(question, self._yes)
        finally:
            self._bar.start()

    def _plain(self, text: str) -> None:
        if not _err.is_terminal:
            _err.print(Text(text))
            self._last_line = time.monotonic()


class JsonProgress(JsonLines):
    """Prints a run as JSON; asks as the console does."""

    def __init__(self, yes: bool = False) -> None:
        super().__init__()
        self._yes = yes

    def confirm(self, question: str) -> bool:
        return confirm(question, self._yes)


def run_progress(log_format: str, yes: bool) -> ConsoleProgress | JsonProgress:
    """Shows a run as the setting log_format says; `yes` answers all questions."""
    if log_format == "console":
        _listen(None)
        return ConsoleProgress(yes)
    progress = JsonProgress(yes)
    _listen(progress)
    return progress


def confirm(question: str, yes: bool) -> bool:
    """Whether a person agrees, or has agreed beforehand. Raises UsageError where nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to answer on", "Add --yes to agree beforehand.")
    try:
        return Confirm.ask(Text(question), console=_err, default=False)
    except EOFError:  # Ctrl-D
        return False


def ask_to_cancel(what: str) -> bool:
    """Whether a person wants to cancel a job that runs elsewhere."""
    answer = Prompt.ask(
        Text(f"Leave {what} running, or cancel it?"), console=_err, choices=["leave", "cancel"], default="leave"
    )
    return answer == "cancel"


class JobListener:
    """Shows how a submitted job goes: what happens to it and how far it is on standard error, its log and results on
    standard output.
    """

    def note(self, text: str) -> None:
        _err.print(Text(f"{datetime.now():%H:%M:%S} {text}"))

    def progress(self, progress: Progress) -> None:
        self.note(str(progress))

    def log(self, line: str) -> None:
        _out.print(Text(line))

    def results(self, found: "Results") -> None:
        show_results(found)


def show_job(job: "RemoteStatus") -> None:
    """How a submitted job is."""
    show_sections([(name, "\n".join(map(printable, text.splitlines()))) for name, text in job.rows()])


def show_results(found: "Results") -> None:
    """The end of a run: how many, how fast, where the time went, the first predictions, and where all of them are."""
    if _json is not None:
        _json.result(found)
        return
    counts = found.counts
    _out.print(_predictions(found.first_rows, counts.rows))
    _out.print(str(found))
    if found.skipped:
        _out.print(f"Skipped: {skipped.in_words(found.skipped)}.{skipped.hint(found.skipped)}")
    if run := found.performance:
        _out.print(
            f"{run.rate:.1f} images/s: {counted(run.images, 'image')} in {duration.in_words(run.steady_seconds)} on "
            f"{counted(run.workers, 'worker')}; before that {duration.in_words(run.startup_seconds)} for the plan and "
            f"Spark, and {duration.in_words(run.workers_startup_seconds)} until the workers had started"
        )
        _out.print(f"Where the time went, per worker: {_shares(run)}")
        if run.retries:
            _out.print(
                "Tried again: " + ", ".join(f"{number:,} {cause}" for cause, number in run.retries.most_common())
            )
        for where, problem in run.failing:
            _out.print(f"Unusable executor: {where}: {problem}")
    if counts.labelled:
        _out.print(
            f"Accuracy: {counts.correct / counts.labelled:.4f} (top 1), "
            f"{counts.correct_top_k / counts.labelled:.4f} (among those predicted), "
            f"of {counted(counts.labelled, 'image')} with a known label"
        )
    if found.precision:
        _out.print(f"Precision: {found.precision}")
    has_vectors = any(row.vectors and row.predictions is None for row in found.first_rows)
    _out.print(f"{'Vectors' if has_vectors else 'Predictions'}: {found.table}")


def _shares(run: "Performance") -> str:
    parts = {
        "predicting": run.timings.forward,
        "waiting for images": run.timings.starved,
        "loading the model": run.timings.setup,
        "writing": run.timings.write,
    }
    parts["starting and the rest"] = max(0.0, run.seconds * run.workers - sum(parts.values()))
    shown = ", ".join(f"{name} {seconds / run.workers:.1f} s" for name, seconds in parts.items())
    fetching, decoding = (1000 * seconds / max(run.images, 1) for seconds in (run.timings.fetch, run.timings.decode))
    return f"{shown} (in parallel, per image: fetching {fetching:.1f} ms, decoding {decoding:.1f} ms)"


def _predictions(rows: "Iterable[Row]", total: int) -> Table:
    rows = list(rows)
    title = f"The first {len(rows)} of {counted(total, 'image')}" if len(rows) < total else None
    vectors = list(next((row.vectors for row in rows if row.vectors), {}))
    # As many columns as fit the width.
    most = 3 if _out.width >= WIDTH else 2 if _out.width >= 100 else 1
    has_classes = not vectors or any(row.predictions is not None for row in rows)
    classes = ("prediction", "next", "third")[: max(1, most - len(vectors))] if has_classes else ()
    columns = (_cut(name, "dim" if name in ("next", "third") else "") for name in ("key", *classes, *vectors))
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        if row.predictions is None and not row.vectors:
            table.add_row(printable(row.key), _failure(row), style="red")
            continue
        shown = [_short(prediction) for prediction in (row.predictions or ())[: len(classes)]]
        shown += [""] * (len(classes) - len(shown))
        table.add_row(printable(row.key), *shown, *(_numbers(row.vectors.get(name, ())) for name in vectors))
    return table


def _cut(heading: str, style: str = "") -> Column:
    """A column of texts, of which long ones are cut."""
    return Column(heading, overflow="ellipsis", no_wrap=True, max_width=WIDTH // 3, style=style)


def _failure(row: "Row") -> str:
    return printable(f"{row.status}: {row.error}")


def _numbers(vector: "Vector | tuple[()]") -> str:
    """How a vector begins; nothing for none, as others may have written rows of different columns."""
    return f"[{', '.join(f'{number:.3f}' for number in vector[:SHOWN_NUMBERS])}, …]" if len(vector) else ""


def _short(prediction: "Prediction") -> str:
    """`0.78 n07920052 espresso`: of a label with synonyms the first."""
    name = f"class {prediction.index}" if prediction.label is None else prediction.label.partition(",")[0]
    return printable(f"{prediction.probability:.2f} {name}")


def _ranked(rows: "Iterable[Row]") -> Table:
    """All predictions of each row, one a line: more of them than columns fit."""
    table = Table(_cut("key"), Column("prediction", overflow="fold"), box=box.SIMPLE_HEAD)
    for row in rows:
        if row.predictions is None:
            table.add_row(printable(row.key), _failure(row), style="red")
            continue
        for number, prediction in enumerate(row.predictions):
            is_first = number == 0
            table.add_row(printable(row.key) if is_first else "", _short(prediction), style="" if is_first else "dim")
        if not row.predictions:
            table.add_row(printable(row.key), "")
    return table


def show_trial(
    rows: "Sequence[Row]", similar: "Mapping[str, Sequence[tuple[float, float, str]]]", has_all: bool = False
) -> None:
    """What a model says of a few images; `has_all`: all predictions of `rows`, and not as many as fit side by side.
    `similar` has for each column of vectors a description of each of `rows` that has one: its norm, and the
    cosine and name of the nearest other image (empty where there is none).
    """
    shown = [replace(row, vectors={}) for row in rows if row.predictions is not None or not row.vectors]
    if shown:
        _out.print(_ranked(shown) if has_all else _predictions(shown, len(shown)))
    for column, found in similar.items():
        headings = ("key", f"norm of {column}", "nearest of the others, by its cosine")
        table = Table(*map(_cut, headings), box=box.SIMPLE_HEAD)
        keys = [row.key for row in rows if column in row.vectors]
        for key, (norm, cosine, nearest) in zip(keys, found, strict=True):
            table.add_row(printable(key), f"{norm:.4g}", f"{cosine:.3f} {printable(nearest)}" if nearest else "")
        _out.print(table)


def show_presets(keys: Sequence[str], best: "Mapping[str, Sequence[str]]", own: Sequence[str]) -> None:
    """The most probable class of each image under each preset, and by what the model says itself."""
    table = Table(Column("preset", no_wrap=True), *map(_cut, map(printable, keys)), box=box.SIMPLE_HEAD)
    for preset, texts in {**best, "as it is": own}.items():
        table.add_row(preset, *texts, style="" if preset != "as it is" else "bold")
    _out.print(table)


def short_prediction(row: "Row") -> str:
    """The most probable class of a row, or what is wrong with it."""
    if row.predictions is None:
        return _failure(row)
    return _short(row.predictions[0]) if row.predictions else "none"


def show_rows(rows: "Sequence[Row]") -> None:
    """Some rows of a table."""
    _out.print(_predictions(rows, len(rows)))


def show_difference(found: "Difference") -> None:
    """How two tables differ."""
    agreement, change = found.agreement, found.mean_change
    same = "no row has a class in both" if agreement is None else f"{agreement:.2%}"
    sections = [
        ("A", printable(found.first)),
        ("B", printable(found.second)),
        ("keys", f"{found.both:,} in both, {found.only[0]:,} only in A, {found.only[1]:,} only in B"),
        ("same class", f"{same} ({found.same:,} of {counted(found.compared, 'image')})" if found.compared else same),
        *(
            [("probability", f"changed by {change:.4f} on average, {found.largest_change:.4f} at most")]
            if change
            else []
        ),
        *(
            ("status", f"{printable(before)} -> {printable(after)}: {number:,}")
            for (before, after), number in found.changed.most_common(10)
        ),
        *(("only in A", printable(key)) for key in found.only_examples[0][:3]),
        *(("only in B", printable(key)) for key in found.only_examples[1][:3]),
    ]
    show_sections(sections)
    if found.moves:
        table = Table("images", "class in A", "class in B", title="Moved", title_justify="left", box=box.SIMPLE_HEAD)
        for (before, after), number in found.moves.most_common(10):
            table.add_row(f"{number:,}", printable(before), printable(after))
        _out.print(table)
        table = Table("key", "A", "B", title="For example", title_justify="left", box=box.SIMPLE_HEAD)
        for a, b in found.examples:
            table.add_row(
                printable(a.key),
                printable(f"{a.probability:.2f} {a.name}"),
                printable(f"{b.probability:.2f} {b.name}"),
            )
        _out.print(table)


def show_benchmark(found: "BenchmarkResults", settings: str) -> None:
    """What was measured, row by row; the limit; and the settings that were chosen, as YAML, last."""
    machine = found.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    reading, decoding = found.reading, found.decoding
    show_sections(
        [
            (
                "machine",
                f"{printable(machine.processor)}, {counted(machine.cores, 'core')}, {machine.memory / 2**30:.1f} GiB; "
                f"{versions}; {machine.date}",
            ),
            ("model", printable(found.model)),
            ("images", f"{found.images:,}, again and again; medians of {counted(found.rounds, 'round')}"),
            ("reading alone", f"{reading.rate:,.0f} images/s, {reading.cpu:.2f} CPU-ms an image"),
            ("decoding alone", f"{decoding.rate:,.0f} images/s, {decoding.cpu:.2f} CPU-ms an image"),
        ]
    )
    of_numbers = ("batch", "workers x threads", *_SPEEDS, "MiB a worker", "agreement")
    table = Table("precision", *(Column(heading, justify="right") for heading in of_numbers), box=box.SIMPLE_HEAD)
    for row in found.rows:
        one, figures = row.configuration, found.figures.get(row.configuration.precision)
        speeds = (row.whole.rate, row.whole.cpu, row.network.rate, row.network.cpu)
        table.add_row(
            one.precision,
            str(one.batch_size),
            f"{one.workers} x {one.threads}",
            *(f"{speed:.1f}" for speed in speeds),
            f"{row.memory / 2**20:.0f}",
            f"{figures.agreement:.2%}" if figures else "",
            style="bold" if row is found.chosen else "dim" if one.precision in found.refused else "",
        )
    _out.print(table)
    for precision, why in found.refused.items():
        _out.print(f"Not {precision}: {printable(why)}")
    for one, why in found.unusable.items():
        _out.print(f"Not {one}: {printable(why)}")
    if found.chosen is not None:
        rate, by = found.limit
        _out.print(
            f"Limit: {rate:.1f} images/s, set by {by}; the chosen settings reach {found.chosen.whole.rate / rate:.2f} "
            "of it\n"
        )
        _out.print(f"# {found.chosen.configuration}: for mxspark run --settings FILE --output PLACE")
        _out.print(Text(settings.rstrip("\n")))


_SPEEDS = ("images/s", "CPU-ms", "network alone", "CPU-ms")


def show_estimate(found: "Estimate") -> None:
    """What is to be done, how fast that is here, how long it takes where, and what all of it assumes."""
    if _json is not None:
        _json.write("estimate", file=sys.stdout, **found.to_json())
        return
    done = f"; {found.done:,} are done" if found.done else ""
    if found.measured is None or found.times is None or found.start is None:
        _out.print(f"Nothing is left to do{done}.")
        return
    start, machine = found.start, found.machine
    left_out = f"; skipped: {skipped.in_words(found.skipped)}" if found.skipped else ""
    show_sections(
        [
            ("images", f"{found.images:,}{done}{left_out}"),
            ("model", f"{printable(found.model)}, {found.precision}"),
            ("machine", f"{printable(machine.processor)}, {counted(machine.cores, 'core')}"),
            ("sample", f"{found.measured.rate:,.1f} images/s, {found.measured.cpu:.1f} CPU-ms an image"),
            (
                "shards",
                f"{found.times.shard:.1f} s each beside its images; a first one {found.times.first:.1f} more",
            ),
            (
                "start",
                f"{start.seconds:.1f} s: command {start.command:.1f}, model {start.model:.1f}, listing "
                f"{start.listing:.1f}, then Spark {start.spark:.1f} beside workers {start.workers:.1f}",
            ),
        ]
    )
    table = Table(box=box.SIMPLE_HEAD)
    has_cost = any(each.cost is not None for each in found.forecasts)
    for heading in ("where", "workers", "images/s", "takes", "core-hours", *(["costs"] if has_cost else [])):
        table.add_column(heading, justify="left" if heading == "where" else "right")
    for each in found.forecasts:
        hours = f"{each.core_hours:,.3g}" if each.core_hours < 100 else f"{each.core_hours:,.0f}"
        cells = [each.where, f"{each.workers:,}", f"{each.rate:,.1f}", duration.in_words(each.seconds), hours]
        table.add_row(*cells, *([] if each.cost is None else [f"${each.cost:,.2f}"]))
    _out.print(table)
    for assumption in found.assumptions:
        _out.print(Text(f"Assumed: {printable(assumption)}"))


def show_neighbours(found: "Sequence[tuple[float, str]]") -> None:
    """Keys with the cosines of their vectors, the most similar first."""
    table = Table("cosine", Column("key", overflow="fold"), box=box.SIMPLE_HEAD)
    for cosine, key in found:
        table.add_row(f"{cosine:.4f}", printable(key))
    _out.print(table)


def show_status(status: "Status") -> None:
    """How far a run is, and from which settings."""
    state = status.state + (f" ({_holder(status.holder)})" if status.holder is not None else "")
    planned = [("done", "nothing is planned yet")] if status.plan is None else _planned(status, status.plan)
    show_sections([(name, printable(value)) for name, value in (("output", status.place), ("state", state), *planned)])


def _planned(status: "Status", frozen: "Plan") -> list[tuple[str, str]]:
    counts, told = status.counts, partial(_told, frozen.settings)
    return [
        (
            "done",
            f"{counts.rows:,} of {counted(frozen.keys, 'image')}, {status.parts:,} of "
            f"{counted(frozen.shards, 'shard')}",
        ),
        ("ok", f"{counts.ok:,}"),
        ("failed", f"{counts.failed:,}" + (f" ({counts.failures})" if counts.failed else "")),
        ("left", counted(status.left, "image")),
        *(("broken", problem) for problem in status.broken[:10]),
        (
            "plan",
            f"made {frozen.created} of {told('input', 'path')}: {counted(frozen.listed, 'key')} listed, "
            f"{frozen.keys:,} different",
        ),
        *([("skipped", skipped.in_words(frozen.skipped))] if frozen.skipped else []),
        ("model", told("model", "path") or told("model", "symbol")),
        (
            "settings",
            f"format {told('output', 'format')}, precision {told('precision')}, top_k {told('top_k')}; --json has all",
        ),
    ]


def _told(settings: Mapping[str, Any], *path: str) -> str:
    """A setting that a plan tells; a question mark where it doesn't, for others may have written it."""
    try:
        return _value(reduce(lambda section, key: section[key], path, settings))
    except (KeyError, TypeError):
        return "?"


def _holder(holder: Mapping[str, Any]) -> str:
    seen = f", last sign of life {holder['renewed']}" if "renewed" in holder else ""
    return f"process {holder.get('process', '?')} on {holder.get('host', '?')} since {holder.get('since', '?')}{seen}"


def show_settings(rows: Iterable[tuple[str, Any, str]]) -> None:
    """The effective settings with the source of each."""
    columns = Column("setting", no_wrap=True), Column("value", overflow="fold"), Column("from", overflow="fold")
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for key, value, origin in rows:
        table.add_row(key, _value(value), origin, style="dim" if origin == "default" else "")
    _out.print(table)


def show_setting(key: str, value: Any, origin: str, description: str, ways: str) -> None:
    """One setting, explained."""
    show_sections(
        [("setting", key), ("value", _value(value)), ("from", origin), ("what it is", description), ("set it by", ways)]
    )


def _value(value: Any) -> str:
    """As it would be written in a file, a list without its brackets."""
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_value, value))
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def show_sections(sections: Sequence[tuple[str, str]]) -> None:
    """What something is: names and values."""
    columns = Column(style="bold"), Column(overflow="fold")
    table = Table(*columns, show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name, value in sections:
        table.add_row(name, value)
    _out.print(table)


_STYLES = {"ok": "green", "problem": "bold red", "can't tell": "yellow"}


def show_findings(findings: "Sequence[Finding]") -> None:
    """What was looked at, how it is, and what to do about it."""
    columns = Column(no_wrap=True), Column(style="bold", no_wrap=True), Column(overflow="fold")
    table = Table(*columns, show_header=False, box=box.SIMPLE_HEAD)
    for finding in findings:
        text = "\n".join(printable(part) for part in (finding.text, finding.hint) if part)
        table.add_row(Text(finding.verdict, _STYLES[finding.verdict]), finding.subject, text)
    _out.print(table)


def model_sections(found: "Inspection") -> list[tuple[str, str]]:
    """What an inspection says, in words."""
    sections = [
        ("input", f"{found.input_name}: N x {' x '.join(map(str, found.input_shape[1:]))} ({found.input.layout})"),
        (
            "output",
            f"{found.output_name}: "
            + (counted(found.classes, "class", "classes") if found.has_classes else f"a vector of {found.classes:,}")
            + (f" (of {len(found.outputs)} outputs)" if len(found.outputs) > 1 else ""),
        ),
        (
            "kind",
            f"{found.meaning.kind}: {found.meaning.why}"
            + (f"; a {found.meaning.adds} is added" if found.meaning.adds else ""),
        ),
        *(
            ("column", f"{name}: a vector of {length:,}")
            for name, length in found.vectors[0 if found.has_classes else 1 :]
        ),
        *([("scaling", f"by the graph itself: {', '.join(found.scaling)}")] if found.scaling else []),
        ("operators", ", ".join(f"{name} {number}" for name, number in found.operators.items())),
        *(("note", note) for note in found.notes),
        (
            "parameters",
            f"{found.parameters:,}"
            + (f"; not used by the graph: {', '.join(found.unused[:5])}" if found.unused else ""),
        ),
    ]
    return [(name, printable(value)) for name, value in sections]


def show(text: str) -> None:
    """A result, as it is."""
    _out.print(text, markup=False)


def _tell(text: Text) -> None:
    """Wraps at words on a terminal; elsewhere, as in a log, a line stays a line."""
    _err.print(text, soft_wrap=not _err.is_terminal)


def show_warning(text: str) -> None:
    """Something that is not wrong but should be known."""
    if _json is not None:
        _json.warning(text)
        return
    _tell(Text.assemble(("Warning: ", "yellow"), text))


def show_error(error: MxsparkError) -> None:
    """The problem and its hint."""
    if _json is not None:
        _json.error(error)
        return
    _tell(Text.assemble(("Error: ", "bold red"), error.problem))
    if error.hint:
        _tell(Text(error.hint))


def show_last_word(word: LastWord) -> None:
    """How a run ended, as the last line of its log."""
    if _json is not None:
        _json.last_word(word)
    else:
        print(word.line(), file=sys.stderr, flush=True)


def show_trace() -> None:
    """The stack trace of the exception being handled, for --debug."""
    error = sys.exception()
    if error is None:
        return
    if _json is not None:
        _json.trace(error)
        return
    _err.print(Text(trace(error)), end="", soft_wrap=True)
