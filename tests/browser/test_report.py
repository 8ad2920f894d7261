"""The report in a real browser: what only that can tell of its colours, its layout, its policy and its silence."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page
from tests.outputs import HOSTILE, cat, dog, finished, logged, of, table

from mxspark.dataset.columns import Columns, VectorColumn
from mxspark.dataset.predictions import Prediction, Row
from mxspark.report import difference, page
from mxspark.report.finished_run import FinishedRun
from mxspark.storage import Access

PHONE, DESK = 360, 1280  # pixels wide
LIMIT_SECONDS = 120
WRONG = "</style><script>document.title = 'taken over'</script>"

Scheme = Literal["light", "dark"]


def written(folder: Path, other: Path | None = None, pictures: bool = False) -> Path:
    """The report of the run in `folder`, as a file."""
    run = FinishedRun.open(str(folder), Access())
    compared = difference.compare(str(folder), str(other), Access()) if other else None
    file = folder.with_suffix(".html")
    file.write_bytes(page.html(page.gather(run, Access(), pictures, compared)))
    return file


def everything(folder: Path) -> Path:
    """A run that has all that a report can show: failures with and without pixels, true labels, precision, two runs,
    stragglers, another table.
    """
    images = folder / "run" / "images"
    images.mkdir(parents=True)
    noise = io.BytesIO()
    Image.effect_noise((300, 200), 90).convert("RGB").save(noise, "JPEG", quality=90)
    made = [Row(f"dog/{key}", "ok", None, dog(0.55)) for key in HOSTILE]
    made += [Row(f"cat/{number:02}.jpg", "ok", None, cat(0.4 + number / 50)) for number in range(30)]
    made += [
        Row("cat/cut.jpg", "truncated", "the file ends before the image does"),
        Row("dog/gone.jpg", "missing", WRONG),
    ]
    made += [
        Row("bird/1.jpg", "ok", None, (Prediction(2, WRONG, 0.3), *dog(0.2))),
        Row(f"bird/{'long' * 200}.jpg", "empty", "x" * 900),
    ]
    for row in made:
        if row.key.endswith(".jpg") and len(row.key) < 100:
            (images / row.key).parent.mkdir(exist_ok=True)
            data = noise.getvalue()
            (images / row.key).write_bytes(data[: len(data) // 2] if row.status == "truncated" else data)
    table(folder / "run", of(*made), true_label="^([a-z]+)/", model=WRONG)
    logged(
        folder / "run",
        *(finished(shard, 1000.0 + shard, 30.0 if shard == 9 else 1.0, shard % 4) for shard in range(12)),
    )
    other = [Row(row.key, "ok", None, dog(0.7)) for row in made]
    return written(folder / "run", table(folder / "other", of(*other)), pictures=True)


def of_vectors(folder: Path) -> Path:
    columns = Columns((VectorColumn("vector", 3),), has_predictions=False)
    rows = of(*(Row(f"{n}.png", "ok", vectors={"vector": np.ones(3, np.float32)}) for n in range(4)))
    return written(table(folder / "run", rows, columns=columns))


def unfinished(folder: Path) -> Path:
    return written(table(folder / "run", of(*(Row(f"{n}.png", "ok", None, cat()) for n in range(9))), parts=1))


def without_images(folder: Path) -> Path:
    return written(table(folder / "run", of()))


def all_failed(folder: Path) -> Path:
    return written(table(folder / "run", of(*(Row(f"{n}.png", "denied", "HTTP 403") for n in range(9)))))


def damaged(folder: Path) -> Path:
    made = table(folder / "run", of(*(Row(f"{n}.png", "ok", None, cat()) for n in range(9))))
    (made / "part-000000.parquet").write_bytes(b"PAR1 and no more")
    return written(made)


class Opened:
    """A page in a browser, and what it did that nobody asked it for."""

    def __init__(self, browser: Browser, file: Path, scheme: Scheme, width: int) -> None:
        self.page: Page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
        self.page.set_default_timeout(1000 * LIMIT_SECONDS)
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._asked)
        self._address = file.as_uri()
        self.page.goto(self._address)

    def _asked(self, request: Any) -> None:
        if request.url != self._address and not request.url.startswith("data:"):
            self.said.append(f"asks for {request.url}")

    def wrong(self) -> list[str]:
        """What axe-core finds, with the places."""
        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {[node['html'][:200] for node in each['nodes'][:3]]}" for each in found]

    def is_too_wide(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize("made", [everything, of_vectors, unfinished, without_images, all_failed, damaged])
def test_the_page_is_silent_accessible_and_fits_a_phone(
    browser: Browser, tmp_path: Path, made: Callable[[Path], Path]
) -> None:
    """In both colour schemes, with every part that can be opened open."""
    file = made(tmp_path)
    schemes: tuple[tuple[Scheme, int], ...] = (("light", PHONE), ("dark", DESK))
    for scheme, width in schemes if made is everything else schemes[:1]:
        opened = Opened(browser, file, scheme, width)
        for details in opened.page.query_selector_all("details"):
            details.evaluate("element => { element.open = true }")
        assert opened.wrong() == []
        assert not opened.is_too_wide()
        assert opened.said == []
        assert opened.page.title().endswith("mxspark report")
        opened.page.close()


def test_on_paper_there_are_no_links_and_nothing_is_cut_off(browser: Browser, tmp_path: Path) -> None:
    opened = Opened(browser, everything(tmp_path), "dark", DESK)
    opened.page.emulate_media(media="print")
    assert not opened.page.is_visible("nav")
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    is_whole = (
        "[...document.querySelectorAll('.scroll, pre')].every(each => each.scrollHeight <= each.clientHeight + 1)"
    )
    assert opened.page.evaluate(is_whole)
    assert opened.page.pdf(format="A4").startswith(b"%PDF")
    opened.page.close()


def test_it_is_walked_through_by_keys(browser: Browser, tmp_path: Path) -> None:
    """First the link that skips the head; what scrolls sideways can be reached and scrolled."""
    opened = Opened(browser, everything(tmp_path), "light", PHONE)
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.getAttribute('href')") == "#main"
    reached = "[...document.querySelectorAll('.scroll, pre')].every(each => each.tabIndex === 0)"
    assert opened.page.evaluate(reached)
    opened.page.close()
