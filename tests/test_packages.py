"""The wheel as others install it: in an environment of its own."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from built_wheel import build_wheel, link_files, locked_for_running
from demo_server import DemoServer

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = {"django", "load", "mcp", "mysql", "otel", "postgres", "redis"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel, what ``requirements/run.txt`` names, and nothing else.

    pip takes the others' packages from an index; here they are those of this environment, so that the test needs no network.
    """
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(place), "platbase": str(place)}))
    link_files(locked_for_running(), packages)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "--disable-pip-version-check", "-qq"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True, capture_output=True)
    subprocess.run([*pip, "check"], check=True, capture_output=True)
    return place / "bin"


@pytest.mark.rule("PK1")
def test_the_wheel_serves_its_pages(installed: Path, tmp_path: Path) -> None:
    """`cowrite serve --demo` in an empty folder: the page, with all that it names, comes out of the wheel."""
    server = DemoServer(tmp_path)
    server.program = installed / "cowrite"
    with server:
        page = server.text("")
        names = [name.lstrip("./") for name in re.findall(r'(?:src|href)="(\./[^"]+|/[^"]+)"', page)]
        assert any(name.endswith(".js") for name in names)
        for name in names:
            assert (name, httpx.get(f"{server.url}{name}").status_code) == (name, 200)
        operation = {"type": "insert", "position": ["body", 0], "content": "Hello"}
        session = httpx.post(f"{server.url}api/v2/realtime/connect", json={"document_id": "soup"}).json()
        asked = {"document_id": "soup", "base": None, "operations": [operation]}
        allowed = {"Authorization": f"Bearer {session['access_token']}"}
        written = httpx.post(f"{server.url}api/v2/realtime/operations", json=asked, headers=allowed)
        assert written.status_code == 200, written.text
        assert server.text("api/v2/documents/soup?format=text").strip() == "Hello"
    where = subprocess.run(
        [installed / "python", "-c", "import cowrite; print(cowrite.__file__)"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(str(installed.parent))
    assert list(tmp_path.glob("data/cowrite.sqlite3"))


@pytest.mark.rule("PK2")
def test_what_the_wheel_holds_and_asks_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
        (about,) = (name for name in names if name.endswith("/METADATA"))
        told = email.message_from_bytes(files.read(about))
        (entry,) = (name for name in names if name.endswith("/entry_points.txt"))
        assert files.read(entry).decode().split() == ["[console_scripts]", "cowrite", "=", "cowrite.cli:main"]
    assert {"cowrite/py.typed", "cowrite/web/pages/index.html"} <= names
    assert not [name for name in names if not name.startswith(("cowrite/", "cowrite-"))]
    assert told["License-Expression"] == "Apache-2.0"
    assert set(told.get_all("Provides-Extra") or ()) == EXTRAS
    # SQLAlchemy does not ask for greenlet by itself, and its part for database servers does not work without.
    needs_greenlet = {
        str(one.marker) for one in map(Requirement, told.get_all("Requires-Dist") or ()) if "asyncio" in one.extras
    }
    assert needs_greenlet == {'extra == "mysql"', 'extra == "postgres"'}
    image = (ROOT / "requirements" / "image.txt").read_text()
    assert all(re.search(rf"^{name}==", image, re.MULTILINE) for name in ("asyncmy", "asyncpg", "greenlet", "redis"))
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE))
    for line in told.get_all("Requires-Dist") or ():
        wanted = Requirement(line)
        if wanted.marker is None or "extra" not in str(wanted.marker):
            assert wanted.specifier.contains(locked[wanted.name]), line
