"""Do what a tutorial says, to the letter, from an empty folder to a shared edit: `make tutorials`.

    python -m scripts.follow_tutorial [--locked] [--other-ports] [tutorial.md …]

What the pages tell a reader to do is read by scripts/tutorial.py. The commands are run by a shell as they stand; ``pip install
cowrite`` finds the wheel that is made from the sources here, and all other packages where pip and npm are told to look on this
machine. With ``--locked`` pip asks nobody: what a tutorial installs beside cowrite is what this environment has. With
``--other-ports`` the addresses ``127.0.0.1:PORT`` are those of free ports, so that nothing that runs here is in the way.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from scripts.terminal import SECONDS, Failed, Server, Terminal, answers
from scripts.tutorial import Commands, File, Shown, Step, Window, at_other_ports, matches, ports, read

from browser.browser_program import find_browser
from built_wheel import build_wheel, link_installed
from node_program import PATH as TOOLS

ROOT: Final = Path(__file__).resolve().parent.parent
TUTORIALS: Final = ROOT / "docs" / "tutorials"
EDITOR: Final = ".cm-content:visible, .ProseMirror:visible, .ql-editor:visible"
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_MODULES: Final = {"uvicorn": "uvicorn", "flask": "flask", "django-admin": "django"}
"""Programs that packages bring, and the modules that are the same: of what is installed already, pip makes none."""


@dataclass
class Follower:
    """A reader: a folder, which is empty at the beginning, terminals, and windows in a browser."""

    folder: Path
    environment: dict[str, str]
    browser: Browser
    ports: dict[int, int] = field(default_factory=dict)
    """The ports that a tutorial names, and those that are taken instead."""

    def __enter__(self) -> Self:
        self._ends = ExitStack()
        self._terminal = Terminal(self.folder, self.environment)
        self._ends.callback(self._terminal.close)
        self._servers: list[Server] = []
        self._windows: list[Page] = []
        self._complaints: list[str] = []
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def follow(self, steps: list[Step]) -> None:
        """Take all the steps. Raises ``Failed`` at the first that does not do what it should."""
        for step in steps:
            match step:
                case File():
                    self._write(step)
                case Commands(stays=True):
                    self._serve(step)
                case Commands():
                    self._type(step)
                case Window():
                    self._open(step)
                case Shown():
                    self._look(step.text)
        if self._complaints:
            raise Failed("the browser's console says\n" + "\n".join(self._complaints))

    def _write(self, file: File) -> None:
        path = self.folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._here(file.text))

    def _type(self, step: Commands) -> None:
        printed = "".join(self._terminal.type(self._here(command)) for command in step.commands)
        if not matches(self._here(step.seen), printed):
            raise Failed(f"$ {step.commands[-1]}\nshould show\n{step.seen}\nand did show\n{printed}")

    def _serve(self, step: Commands) -> None:
        here = Commands(tuple(map(self._here, step.commands)), self._here(step.seen), stays=True)
        log = self.folder.parent / f"{self.folder.name}-server-{len(self._servers)}.log"
        server = Server(here, self.folder, self.environment, log)
        self._servers.append(server)
        self._ends.callback(server.close)
        server.wait()

    def _open(self, step: Window) -> None:
        context = self.browser.new_context()
        self._ends.callback(context.close)
        page = context.new_page()
        page.on("pageerror", lambda error: self._complaints.append(f"page error: {error}"))
        page.on("console", self._note)
        page.goto(self._here(step.url))
        if step.person is not None:
            _log_in(page, step.person)
        editor = page.locator(EDITOR).first
        if step.text is not None:
            try:
                expect(editor).to_have_attribute("contenteditable", "true", timeout=SECONDS * 1000)
            except AssertionError as error:
                raise Failed(f"{page.url} has no editor to type into\n{error}\n{self._all_that_was_told()}") from None
            for other in self._windows[-1:]:  # what is typed comes after what is there
                self._until_shows(page, _texts(other))
            editor.click()
            page.keyboard.press("Control+End")
            page.keyboard.type(step.text)
        self._windows.append(page)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not urlsplit(message.location["url"]).path.endswith("favicon.ico"):
            self._complaints.append(f"{message.text} ({message.location['url']})")

    def _look(self, text: str) -> None:
        if len(self._windows) < 2:
            raise Failed(f"one window is no company, of which all show {text!r}")
        for page in self._windows:
            self._until_shows(page, text)

    def _until_shows(self, page: Page, text: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not matches(text, shown := _texts(page)):
            if time.monotonic() > deadline:
                raise Failed(f"a window should show\n{text}\nand shows\n{shown}\n{self._all_that_was_told()}")
            page.wait_for_timeout(50)

    def _all_that_was_told(self) -> str:
        return "\n".join([*self._complaints, *(server.log for server in self._servers)])

    def _here(self, text: str) -> str:
        return at_other_ports(text, self.ports)


def _log_in(page: Page, person: str) -> None:
    """Fill in the form that a page begins with: one's name and, where it asks for one, the password, which is the same."""
    page.locator("form input:not([type=hidden])").first.fill(person)
    if (password := page.locator("form input[type=password]")).count():
        password.fill(person)
    page.locator("form button").first.click()


def _texts(page: Page) -> str:
    """What is in the editor, line by line, without the names at others' carets."""
    strip = """(editor) => {
        const copy = editor.cloneNode(true)
        copy.querySelectorAll('.cm-ySelectionCaret, .caret, .collaboration-carets__caret').forEach((caret) => caret.remove())
        const lines = copy.querySelectorAll('.cm-line, p, h1, h2')
        return [...lines].map((line) => line.textContent.replaceAll('\\u2060', '')).join('\\n')
    }"""
    return str(page.locator(EDITOR).first.evaluate(strip))


def environment_of_a_reader(place: Path, *, locked: bool, other_ports: dict[int, int]) -> dict[str, str]:
    """The variables of a reader's terminals; ``place`` is where the wheel, and the programs that every reader has, are put."""
    programs = _programs(place / "programs")
    build_wheel(place / "wheels")
    here = Path(sys.executable).parent
    own = {name: value for name, value in os.environ.items() if not name.startswith(("COWRITE_", "VIRTUAL_ENV", "PYTHON"))}
    path = [entry for entry in own.get("PATH", os.defpath).split(os.pathsep) if Path(entry).resolve() != here]
    own |= {
        "PATH": os.pathsep.join([str(programs), *path]),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": f"{place / 'wheels'} {own.get('PIP_FIND_LINKS', '')}".strip(),
        "npm_config_prefer_offline": "true",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_update_notifier": "false",
    }
    if locked:
        own |= _locked(place / "locked", programs)
    where = {"COWRITE_PORT": 8000, "UVICORN_PORT": 8000, "FLASK_RUN_PORT": 5000}  # where no command says it
    return own | {name: str(other_ports[port]) for name, port in where.items() if port in other_ports}


def _programs(folder: Path) -> Path:
    """A folder with the Python of this environment, which is not the environment, and with Node, which may be from it."""
    folder.mkdir(parents=True)
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    for name in ("node", "npm", "npx"):
        if found := shutil.which(name, path=TOOLS):
            (folder / name).symlink_to(found)
    return folder


def _locked(packages: Path, programs: Path) -> dict[str, str]:
    """The variables with which pip finds everything that is asked for, but cowrite, installed already."""
    link_installed(packages)
    for name, module in _MODULES.items():
        (programs / name).write_text(f'#!/bin/sh\nexec python -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    return {"PYTHONPATH": str(packages), "PIP_NO_INDEX": "1", "PIP_NO_COMPILE": "1"}


@contextmanager
def a_browser() -> Iterator[Browser]:
    """A Chromium: the one that the tests use."""
    with sync_playwright() as playwright:
        program = find_browser(Path(playwright.chromium.executable_path))
        variables: dict[str, str | float | bool] = {**os.environ, **program.environment}
        with playwright.chromium.launch(executable_path=program.executable, args=FLAGS, env=variables) as browser:
            yield browser


def free_ports(wanted: set[int]) -> dict[int, int]:
    """For each port one that nobody listens at."""
    with ExitStack() as held:
        return {port: held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for port in wanted}


def follow(tutorial: Path, place: Path, browser: Browser, *, locked: bool = False, other_ports: bool = False) -> None:
    """Follow one tutorial in a new folder of ``place``. Raises ``Failed`` when it does not lead where it says."""
    steps = read(tutorial)
    others = free_ports(ports(steps)) if other_ports else {}
    if taken := [port for port in ports(steps) if not others and answers(port)]:
        raise Failed(f"something runs at the ports {taken} already; end it, or say --other-ports")
    folder = place / tutorial.stem
    folder.mkdir(parents=True)
    environment = environment_of_a_reader(place / "given", locked=locked, other_ports=others)
    with Follower(folder, environment, browser, others) as reader:
        reader.follow(steps)


def missing(tutorial: Path) -> list[str]:
    """The programs that a tutorial needs of the machine, and that are not on it."""
    first = {command.split()[0] for step in read(tutorial) if isinstance(step, Commands) for command in step.commands}
    return [name for name in ("php", "npm") if name in first and shutil.which(name, path=TOOLS) is None]


def main(arguments: list[str]) -> int:
    """Follow the tutorials that are named, or all; the exit code is 1 when one failed."""
    parser = argparse.ArgumentParser(description="Follow tutorials to the letter.")
    parser.add_argument("--locked", action="store_true", help="Python packages are this environment's")
    parser.add_argument("--other-ports", action="store_true", help="at free ports instead of those that are named")
    parser.add_argument("tutorials", nargs="*", type=Path)
    asked = parser.parse_args(arguments)
    failed = 0
    with a_browser() as browser:
        for tutorial in asked.tutorials or sorted(TUTORIALS.glob("*.md")):
            if lacking := missing(tutorial):
                print(f"{tutorial.stem}: not followed: {', '.join(lacking)} is not installed", flush=True)
                continue
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="cowrite-tutorial-") as place:
                try:
                    follow(tutorial, Path(place), browser, locked=asked.locked, other_ports=asked.other_ports)
                except Failed as error:
                    failed += 1
                    print(f"{tutorial.stem}: FAILED\n{error}", flush=True)
                else:
                    print(f"{tutorial.stem}: ok, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
