"""What `npm pack` makes of `@cowrite/client`, in a blank Vite project whose build is opened in a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from demo_server import DemoServer
from node_clients import CACHE, SOURCES
from node_program import PATH, install, node

PEERS = ("yjs", "y-protocols", "lib0", "isomorphic.js")
"""What its user installs beside it, and what these need."""
PAGE = '<!doctype html><title>blank</title><p id="told"></p><script type="module" src="/main.js"></script>'
MAIN = """
import { CowriteProvider } from '@cowrite/client'
import * as Y from 'yjs'

const doc = new Y.Doc()
const provider = new CowriteProvider({ url: location.hash.slice(1), name: 'blank', document: doc })
await provider.whenSynced()
doc.getText('text').insert(0, 'Hello')
await provider.whenSaved()
document.querySelector('#told').textContent = 'saved'
"""


def packed(folder: Path, tools: Path) -> Path:
    """The package, made from a copy of the sources."""
    source = folder / "client"
    shutil.copytree(SOURCES, source, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (source / "node_modules").symlink_to(tools / "node_modules")
    command = ["/usr/bin/env", f"PATH={PATH}", "npm", "pack", "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (made,) = folder.glob("cowrite-client-*.tgz")
    return made


def blank_project(folder: Path, package: Path, tools: Path) -> Path:
    """A folder with one page and the package, put there by npm; what its user installs beside it comes from the tools."""
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps({"name": "blank", "private": True, "type": "module"}))
    npm = ["/usr/bin/env", f"PATH={PATH}", "npm", "install", "--offline", "--legacy-peer-deps", "--silent", str(package)]
    subprocess.run(npm, cwd=folder, check=True, capture_output=True, timeout=120)
    for name in PEERS:
        if (tools / "node_modules" / name).exists():
            (folder / "node_modules" / name).symlink_to((tools / "node_modules" / name).resolve())
    (folder / "index.html").write_text(PAGE)
    (folder / "main.js").write_text(MAIN)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  (its name in the library)
        pass


@contextmanager
def files_served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.browser
@pytest.mark.rule("PK3")
def test_the_client_in_a_blank_vite_project(tmp_path: Path, browser: Browser) -> None:
    tools = install(SOURCES, CACHE / "client-tools")
    project = blank_project(tmp_path / "project", packed(tmp_path, tools), tools)
    vite = [node(), str(tools / "node_modules" / "vite" / "bin" / "vite.js"), "build", "--logLevel", "warn"]
    built = subprocess.run(vite, cwd=project, capture_output=True, text=True, check=False, timeout=120)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    with (
        files_served(project / "dist") as pages,
        DemoServer(tmp_path, COWRITE_ALLOWED_ORIGINS=pages) as server,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.goto(f"{pages}/#{server.url}")
        expect(page.locator("#told")).to_have_text("saved")
        assert server.text("api/v2/documents/blank?format=text").strip() == "Hello"
