"""Clients of ``@cowrite/client`` in a Node process, led by calls: for tests, and for benchmarks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from node_program import PATH, LedProgram, alone, install

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "clients" / "js"
PROGRAM = ROOT / "tests" / "node" / "client"
CACHE = ROOT / ".cache"


class Clients(LedProgram):
    """A Node process with clients, each known by a name; calls are those of client.mjs."""

    about = "client"

    def __init__(self, folder: Path, complaints: Path) -> None:
        super().__init__(folder / "client.mjs", complaints)


def client_program() -> Path:
    """A folder with the program, its packages and the client as it is published, built where its sources have changed.

    Tests in several processes share it: one that built it anew all the same would take it away from the others.
    """
    with alone(CACHE / "client-built"):
        tools = install(SOURCES, CACHE / "client-tools")
        program = install(PROGRAM, CACHE / "client")
        client = program / "node_modules" / "@cowrite" / "client"
        sources = sorted((*SOURCES.glob("*.json"), *(SOURCES / "src").rglob("*.ts")))
        wanted = "\n".join(f"{path.relative_to(SOURCES)}\n{path.read_text()}" for path in sources)
        stamp = client / "built-from"
        if not stamp.is_file() or stamp.read_text() != wanted:
            _build(tools, client)
            stamp.write_text(wanted)
    return program


def _build(tools: Path, client: Path) -> None:
    for name in ("src", "dist"):
        shutil.rmtree(tools / name, ignore_errors=True)
    shutil.copytree(SOURCES / "src", tools / "src")
    subprocess.run(["/usr/bin/env", f"PATH={PATH}", "npm", "run", "--silent", "build"], cwd=tools, check=True)
    shutil.rmtree(client, ignore_errors=True)
    shutil.copytree(tools / "dist", client / "dist")
    shutil.copy(SOURCES / "package.json", client)
