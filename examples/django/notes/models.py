"""A note: its title is a row's, its body is written together."""

from django.conf import settings
from django.db import models

from cowrite.django.fields import CollaborativeField


class Note(models.Model):
    """Everybody who has logged in may read it; its owner and those named may write."""

    title = models.CharField(max_length=80)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes")
    writers = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="may_write")
    body = CollaborativeField()

    def __str__(self) -> str:
        return self.title
