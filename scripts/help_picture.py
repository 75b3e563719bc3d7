"""Make docs/images/help.png, what `cowrite --help` prints in a terminal: PYTHONPATH=tests python -m scripts.help_picture

It needs a Chromium, as the tests in a browser do.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text
from scripts.follow_tutorial import a_browser

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURE: Final = ROOT / "docs" / "images" / "help.png"
COLUMNS: Final = 100


def printed() -> str:
    """With the escape sequences for colours."""
    environment = os.environ | {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    command = [str(Path(sys.executable).parent / "cowrite"), "--help"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def drawn(text: str) -> str:
    """As an SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text.strip("\n")), soft_wrap=True)
    return console.export_svg(title="cowrite --help")


def main() -> None:
    """Draw it, and write the file."""
    with a_browser() as browser:
        page = browser.new_page()
        page.set_content(drawn(printed()))
        page.locator("svg").screenshot(path=PICTURE, omit_background=True)


if __name__ == "__main__":
    main()
