"""``manage.py cowrite …``: cowrite's command line, on the database that ``settings.COWRITE`` names."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cowrite.cli import main
from cowrite.django.conf import collaboration


class Command(BaseCommand):
    """Histories, versions, export, verify, backup, restore, doctor: ``manage.py cowrite --help``."""

    help = __doc__ or ""

    def run_from_argv(self, argv: list[str]) -> None:
        """Pass on all that stands behind ``manage.py cowrite``, flags included."""
        os.environ |= environment()
        sys.argv = [f"{Path(argv[0]).name} cowrite", *argv[2:]]
        main()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Those of ``call_command("cowrite", "history", document_id)``."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, arguments: list[str], **options: Any) -> None:
        """Raises :class:`CommandError` when it ends with another exit code than 0."""
        try:
            self.run_from_argv(["manage.py", "cowrite", *arguments])
        except SystemExit as end:
            if end.code:
                raise CommandError(f"cowrite {' '.join(arguments)} has ended with {end.code}") from None


def environment() -> dict[str, str]:
    """What ``settings.COWRITE`` says, as variables of the environment."""
    settings = collaboration().settings
    told = {"COWRITE_DATA_DIR": str(settings.data_dir)}
    if settings.database_url is not None:
        told["COWRITE_DATABASE_URL"] = settings.database_url
    if settings.secret is not None:
        told["COWRITE_SECRET"] = settings.secret.get_secret_value()
    if settings.redis_url is not None:
        told["COWRITE_REDIS_URL"] = settings.redis_url
    return told
