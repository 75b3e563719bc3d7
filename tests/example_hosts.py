"""The programs of examples/ that run beside cowrite: hosts that are not ASGI, which make tokens and nothing else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from example_programs import example_environment, free_port, running


class Host(Protocol):
    """Runs a host, with these built pages, beside the cowrite at a URL; gives its own URL, without a slash."""

    def __call__(
        self, folder: Path, pages: Path, cowrite: str, secret: str, port: int | None = None
    ) -> AbstractContextManager[str]: ...


PHP = shutil.which("php")
needs_php = pytest.mark.skipif(PHP is None, reason="PHP is not installed (on Debian and Ubuntu: apt install php-cli)")


@contextmanager
def flask_host(folder: Path, pages: Path, cowrite: str, secret: str, port: int | None = None) -> Iterator[str]:
    """examples/flask, as its first lines say."""
    port = port or free_port()
    command = [sys.executable, "-m", "flask", "--app", "main", "run", "--port", str(port)]
    environment = example_environment(folder, pages) | {"COWRITE_URL": cowrite, "COWRITE_SECRET": secret}
    with running("flask", command, folder / "flask.log", environment, port) as url:
        yield url


@contextmanager
def php_host(folder: Path, pages: Path, cowrite: str, secret: str, port: int | None = None) -> Iterator[str]:
    """The same of examples/php."""
    port = port or free_port()
    assert PHP is not None
    command = [PHP, "-S", f"127.0.0.1:{port}", "-t", str(pages), "router.php"]
    environment = example_environment(folder, pages) | {"COWRITE_URL": cowrite, "COWRITE_SECRET": secret}
    with running("php", command, folder / "php.log", environment, port) as url:
        yield url
