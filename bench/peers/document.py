"""The results as text, and as a part of docs/performance.md."""

from collections.abc import Sequence
from pathlib import Path

from bench.fixtures import REPOSITORY
from bench.peers import plot
from bench.peers.results import Results, Row, of_kind

PAGE = REPOSITORY / "docs" / "performance.md"
END = "<!-- end -->"
HEADER = (
    "system",
    "precision",
    "CPU-ms an image",
    "of it at the limit",
    "images/s",
    "busy cores",
    "start, CPU-s",
    "first row, s",
    "whole run, s",
    "MiB",
    "same as fp32",
)


def text(results: Results) -> str:
    """For a terminal: the tables with aligned columns, and what they hold for."""
    parts = [_holds_for(results), _limits(results)]
    for kind, cells in _tables(results):
        widths = [max(len(row[place]) for row in cells) for place in range(len(HEADER))]
        lines = [
            "  ".join(cell.ljust(width) if place < 2 else cell.rjust(width) for place, (cell, width) in enumerate(line))
            for line in (list(zip(row, widths, strict=True)) for row in cells)
        ]
        parts.append("\n".join([f"{kind.upper()}:", *lines]))
    return "\n\n".join(parts)


def write(results: Results) -> None:
    """Into docs/performance.md, between the two marks of its network; and the plot beside it. Raises ValueError without
    marks.
    """
    begin = f"<!-- written by `python -m bench peers --network {results.network} --write-docs` -->"
    before, found, rest = PAGE.read_text().partition(begin)
    old, ended, after = rest.partition(END)
    if not (found and ended) or "<!-- written by" in old:
        raise ValueError(f"{PAGE.relative_to(REPOSITORY)} has no {begin} … {END}: put both where the table belongs")
    drawn = plot.svg(results)
    PAGE.write_text(f"{before}{begin}\n{markdown(results)}\n{END}{after}")
    _plot_path(results).write_text(drawn)


def _plot_path(results: Results) -> Path:
    return PAGE.with_name(f"peers-{results.network}.svg")


def markdown(results: Results) -> str:
    parts = [_holds_for(results)]
    for kind, cells in _tables(results):
        head, *rows = cells
        lines = [head, ["---"] * len(head), *rows]
        parts.append("\n".join([f"{kind.upper()}:", "", *(f"| {' | '.join(line)} |" for line in lines)]))
    parts += [f"![CPU-ms an image, by system]({_plot_path(results).name})", _limits(results)]
    parts += [f"Not run: `{name}`: {_short(why)}." for name, why in results.left_out.items()]
    return "\n\n".join(parts)


def _holds_for(results: Results) -> str:
    few, many = results.images
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    counted = "a control group" if results.is_exact else "looks at its processes, as no control group can be made here"
    return (
        f"{results.machine}; {results.date}; {versions}. {results.network} at 224 × 224, {results.latency:g} ms added "
        f"to each answer of the S3 server, {few:,} and {many:,} images, interleaved rounds: {results.rounds}. "
        f"Processor time by {counted}. Other processes took {results.others:.0%} of the machine's processor time. "
        f"(`{results.command}`)"
    )


def _tables(results: Results) -> list[tuple[str, list[list[str]]]]:
    kinds = dict.fromkeys(row.kind for row in results.rows)
    return [(kind, [list(HEADER), *(_cells(row, results) for row in of_kind(results.rows, kind))]) for kind in kinds]


def _cells(row: Row, results: Results) -> list[str]:
    limit = results.limits.of(row)
    return [
        row.system.title,
        row.system.precision,
        f"{row.cpu:.1f}",
        f"{limit / row.cpu:.2f}" if limit and row.cpu > 0 else "",
        f"{row.rate:.0f}",
        f"{row.cores:.2f}",
        f"{row.start:.1f}",
        f"{row.first:.1f}",
        f"{row.wall:.1f}",
        f"{row.memory / 2**20:,.0f}",
        f"{row.agreement:.1%}",
    ]


def _limits(results: Results) -> str:
    limits = results.limits
    forward = _pairs([(name, value) for name, value in sorted(limits.forward.items())])
    decode = _pairs(list(limits.decode.items()))
    get = _pairs(list(limits.get.items()))
    return f"Alone, CPU-ms an image: forward {forward}; decoding {decode}; GET {get}."


def _pairs(values: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values)


def _short(why: str) -> str:
    return why.partition("\n")[0].rstrip(".")
