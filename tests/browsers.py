"""The browser that the tests of pages drive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium: the one on the PATH, else Playwright's own; without one, a skip."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        there = [found for name in NAMES if (found := shutil.which(name))]
        path = there[0] if there else playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip(
                "no Chromium (Debian: apt install chromium; or playwright install chromium)"
            )
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
