"""The wheel, made from a copy of the sources, and packages of this environment for other ones."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build_wheel(into: Path) -> Path:
    """As from a clone: what lies about in this folder is not taken in."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = into.glob("*.whl")
    return made


def locked_for_running() -> list[str]:
    """The names of the packages that are locked for running."""
    return re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE)


def link_files(names: Iterable[str], packages: Path) -> None:
    """Of each of these packages, as far as they are installed here, its files and no others'."""
    for name in names:
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system
        for file in found.files or ():
            if file.parts[0] not in {"..", "__pycache__"} and file.suffix != ".pth":
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(Path(str(found.locate_file(file))).resolve())


def link_installed(packages: Path) -> None:
    """Everything that is installed here but cowrite and the installers, by the names that its folders have."""
    here = Path(str(importlib.metadata.distribution("pip").locate_file("")))
    left_out = {"cowrite", "_editable_impl_cowrite", "pip", "setuptools", "_distutils_hack"}
    packages.mkdir(parents=True)
    for entry in here.iterdir():
        if entry.suffix != ".pth" and entry.name.split("-")[0] not in left_out:
            (packages / entry.name).symlink_to(entry)
