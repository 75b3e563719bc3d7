"""``path("collaboration/", include("cowrite.django.urls"))``, and not below ``COWRITE['PATH']``. It has ``cowrite:token``."""

from __future__ import annotations

from django.urls import path

from cowrite.django.views import token

app_name = "cowrite"
urlpatterns = [path("token", token, name="token")]
