"""A headless Chromium, the machine's own, started once."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.tiers import Missing

START_SECONDS = 120  # on a machine that has much else to do


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def missing() -> Missing | None:
    return None if chromium() else Missing("no Chromium", "apt-get install chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        found = playwright.chromium.launch(executable_path=chromium(), args=arguments, timeout=1000 * START_SECONDS)
        yield found
        found.close()
