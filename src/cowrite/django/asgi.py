"""cowrite beside Django in one ASGI process.

Django answers HTTP and knows no lifespan (https://docs.djangoproject.com/en/5.2/howto/deployment/asgi/); the application made
here passes on what is below ``COWRITE['PATH']`` to cowrite, which starts and ends with the ASGI server, and all else to Django.
"""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp

from cowrite.app import create_app
from cowrite.django.conf import collaboration
from cowrite.embedding import mount


def with_cowrite(django: Any) -> ASGIApp:
    """Put cowrite beside Django's application; in ``asgi.py``::

        application = with_cowrite(get_asgi_application())

    The ASGI server must run the lifespan: uvicorn, hypercorn and granian do, daphne does not. Raises Django's
    ``ImproperlyConfigured`` for what is wrong in ``settings.COWRITE``.
    """
    said = collaboration()
    host = Starlette()
    mount(host, said.path, create_app(said.settings))
    host.mount("/", django)
    return host
