"""Node for the tests: the machine's, or the one that make installed into the environment; and packages from a lock file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
PATH = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def node() -> str:
    """The program ``node``. Raises ``FileNotFoundError`` when there is none."""
    found = shutil.which("node", path=PATH)
    if found is None:
        raise FileNotFoundError("the tests need Node, and there is none: `make browser` installs one into .venv")
    return found


def install(source: Path, folder: Path) -> Path:
    """Copy the files of ``source`` to ``folder`` and install its packages there, unless that was done with the same files."""
    files = sorted(path for path in source.iterdir() if path.is_file())
    wanted = "\n".join(f"{path.name}\n{path.read_text()}" for path in files)
    stamp = folder / "installed"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in files:
            shutil.copy(path, folder)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error"]
        subprocess.run(["/usr/bin/env", f"PATH={PATH}", *command], cwd=folder, check=True)
        stamp.write_text(wanted)
    return folder
