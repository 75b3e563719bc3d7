"""``{% load cowrite %}`` and ``{% collaboration note.body %}``: what a page's editor needs to know, as JSON."""

from __future__ import annotations

from typing import Any

from django import template
from django.middleware.csrf import get_token
from django.urls import reverse
from django.utils.html import json_script
from django.utils.safestring import SafeString

from cowrite.django.conf import collaboration as said

register = template.Library()


@register.simple_tag(takes_context=True)
def collaboration(context: Any, document: str, element_id: str = "collaboration") -> SafeString:
    """A ``<script type="application/json" id="collaboration">`` with ``document``, ``path``, ``token_url`` and ``csrf_token``.

    ``path`` is where cowrite is; the page asks ``token_url`` for a token before each connection.
    """
    told = {
        "document": document,
        "path": said().path,
        "token_url": reverse("cowrite:token"),
        "csrf_token": get_token(context["request"]),
    }
    return json_script(told, element_id)
