"""A model's field for a document that people write together."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models

from cowrite.django.access import grant_of, token_for
from cowrite.django.documents import aread, read


class Document(str):
    """The id of a document of cowrite, and what can be done with it. An id that is empty names none yet."""

    __slots__ = ()

    def text(self, root: str | None = None) -> str:
        """What stands in it, as plain text; see :func:`cowrite.django.documents.aread`, also for ``root``."""
        return read(self, "text", root).decode()

    async def atext(self, root: str | None = None) -> str:
        """The same where an event loop runs."""
        return (await aread(self, "text", root)).decode()

    def markdown(self, root: str | None = None) -> str:
        """What stands in it, as Markdown."""
        return read(self, "markdown", root).decode()

    def html(self, root: str | None = None) -> str:
        """What stands in it, as HTML in which everything that people have typed is escaped."""
        return read(self, "html", root).decode()

    def token(self, user: Any) -> str:
        """What ``user`` opens it with. Raises Django's ``PermissionDenied``."""
        return token_for(user, self)

    def grant(self, user: Any) -> str | None:
        """What ``user`` may do in it."""
        return grant_of(user, self)


class CollaborativeField(models.CharField):
    """Names the document that belongs to a row: it gets an id of its own when the row is first saved.

    The value is a :class:`Document`. What people write is in cowrite's database and not in the row, so saving the row neither
    needs nor overwrites it; deleting the row does not delete it (``manage.py cowrite`` and the API do).
    """

    description = "A document that people write together"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name, value in {"max_length": 255, "unique": True, "editable": False}.items():
            kwargs.setdefault(name, value)
        super().__init__(*args, **kwargs)

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Document | None:
        """From the database."""
        return None if value is None else Document(value)

    def to_python(self, value: Any) -> Any:
        """From a form or a fixture."""
        found = super().to_python(value)
        return Document(found) if isinstance(found, str) else found

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        """Give it an id, where it has none."""
        value = getattr(model_instance, self.attname)
        if not value:
            value = f"{model_instance._meta.label_lower}/{uuid.uuid4()}"
        setattr(model_instance, self.attname, Document(value))
        return value
