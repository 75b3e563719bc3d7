"""Django and cowrite in one process: uvicorn project.asgi:application --ws-max-size 33554432."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_asgi_application()

from cowrite.django.asgi import with_cowrite  # noqa: E402  (Django is set up by the line before)

application = with_cowrite(django)
