"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig


class CowriteConfig(AppConfig):
    """Brings the command ``manage.py cowrite`` and the template tag ``collaboration``; it has no tables of its own."""

    name = "cowrite.django"
    label = "cowrite"
