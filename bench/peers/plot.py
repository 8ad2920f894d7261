"""CPU-ms an image as bars, and the limit of each: an SVG, by the library that the report's charts are made with."""

from pathlib import Path
from typing import Any

import jinja2

from bench.peers.results import Results, of_kind

TEMPLATE = Path(__file__).with_name("plot.svg.jinja")
WIDTH, LEFT, RIGHT = 760.0, 230.0, 60.0
BAR, HEAD, FOOT = 20.0, 34.0, 28.0
OURS, THEIRS = "#1f6fb2", "#b8c4cf"


def svg(results: Results) -> str:
    """A panel for each kind of images, the cheapest first; a line in a bar is the sum of the parts measured alone."""
    scale = (WIDTH - LEFT - RIGHT) / max(row.cpu for row in results.rows)
    panels, y = [], 0.0
    for kind in dict.fromkeys(row.kind for row in results.rows):
        bars: list[dict[str, Any]] = []
        for number, row in enumerate(of_kind(results.rows, kind)):
            limit, width = results.limits.of(row), max(0.0, row.cpu * scale)
            bars.append(
                {
                    "y": y + HEAD + number * BAR,
                    "label": f"{row.system.title} {row.system.precision}",
                    "width": round(width, 1),
                    "colour": THEIRS if row.system.program else OURS,
                    "limit": round(LEFT + limit * scale, 1) if limit else None,
                    "text": round(LEFT + max(width, (limit or 0) * scale) + 6, 1),
                    "value": f"{row.cpu:.1f}",
                }
            )
        panels.append({"y": y + HEAD - 12, "title": f"{kind.upper()}: CPU-ms an image", "bars": bars})
        y += HEAD + len(bars) * BAR
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text()
    )
    return template.render(
        width=WIDTH,
        height=y + FOOT,
        left=LEFT,
        title="Processor time of an image, by system",
        panels=panels,
        note="Lines: forward pass + decoding + GET, each measured alone. Shorter is better.",
    )
