"""Addresses."""

from django.conf import settings
from django.contrib.auth.views import LoginView
from django.urls import include, path
from django.views.static import serve
from notes import views

urlpatterns = [
    path("", views.notes, name="notes"),
    path("notes/<int:number>/", views.note, name="note"),
    path("login/", LoginView.as_view(template_name="notes/login.html"), name="login"),
    path("collaboration/", include("cowrite.django.urls")),
    path("assets/<path:path>", serve, {"document_root": settings.PAGES / "assets"}),
]
