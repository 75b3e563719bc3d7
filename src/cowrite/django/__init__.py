"""cowrite in a Django project: a field for documents that people write together, and cowrite in the same process under ASGI.

``INSTALLED_APPS`` takes ``"cowrite.django"``, ``settings.COWRITE`` says who may do what (:mod:`cowrite.django.conf`),
``asgi.py`` calls :func:`cowrite.django.asgi.with_cowrite`, and ``urls.py`` includes ``cowrite.django.urls``. docs/django.md
goes through it.
"""
