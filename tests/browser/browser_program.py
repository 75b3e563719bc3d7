"""Which Chromium the tests use: one of the machine, Playwright's own, or one that npm brings along."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from node_program import alone, install, node

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache" / "chromium"
ON_PATH = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@dataclass(frozen=True, slots=True)
class BrowserProgram:
    """A Chromium that can be started: the program, and what its environment needs beside the usual."""

    executable: Path
    environment: dict[str, str] = field(default_factory=dict)


def find_browser(of_playwright: Path) -> BrowserProgram:
    """The first one there is: COWRITE_CHROMIUM, one on PATH, Playwright's, npm's (about 70 MB, once).

    Raises ``FileNotFoundError`` when COWRITE_CHROMIUM names no file, ``CalledProcessError`` when npm fails.
    """
    if named := os.environ.get("COWRITE_CHROMIUM"):
        if not Path(named).is_file():
            raise FileNotFoundError(f"COWRITE_CHROMIUM is {named}, and there is no such file")
        return BrowserProgram(Path(named))
    on_path = next(filter(None, map(shutil.which, ON_PATH)), None)
    if on_path is not None:
        return BrowserProgram(Path(on_path))
    if of_playwright.is_file():
        return BrowserProgram(of_playwright)
    return _browser_from_npm()


def _browser_from_npm() -> BrowserProgram:
    folder = install(HERE / "chromium", CACHE)
    unpacked = folder / "unpacked"
    whole = folder / "unpacked.whole"
    # The package unpacks into TMPDIR, and the system libraries only where it believes to be in the one place it was made for.
    environment = {**os.environ, "TMPDIR": str(unpacked), "AWS_LAMBDA_JS_RUNTIME": "nodejs22.x"}
    command = [node(), str(folder / "executable.mjs")]
    with alone(unpacked):  # a program that is being written cannot be started
        if not whole.is_file():  # the package takes what was begun and not finished for whole
            shutil.rmtree(unpacked, ignore_errors=True)
            unpacked.mkdir()
        printed = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
        whole.touch()
    needs = {"LD_LIBRARY_PATH": str(unpacked / "al2023" / "lib")}
    if not Path("/etc/fonts/fonts.conf").is_file():
        needs["FONTCONFIG_PATH"] = str(unpacked / "fonts")
    return BrowserProgram(Path(printed), needs)
