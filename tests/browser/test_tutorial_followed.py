"""The first tutorial, done to the letter: from an empty folder to a text in two windows, in which a program writes, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser
from scripts.follow_tutorial import TUTORIALS, follow


@pytest.mark.browser
@pytest.mark.rule("TU1")
def test_five_minutes(tmp_path: Path, browser: Browser) -> None:
    follow(TUTORIALS / "five-minutes.md", tmp_path, browser, locked=True, other_ports=True)
