"""Pages."""

import json

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect, render

from notes.models import Note


@login_required
def notes(request):
    """All notes, with their first words; and a new one."""
    if request.method == "POST":
        note = Note.objects.create(title=request.POST["title"][:80] or "Untitled", owner=request.user)
        return redirect("note", note.pk)
    found = [(note, note.body.text()[:60]) for note in Note.objects.order_by("pk")]
    return render(request, "notes/notes.html", {"notes": found})


@login_required
def note(request, number: int):
    """One note, in its editor."""
    built = json.loads((settings.PAGES / ".vite" / "manifest.json").read_text())
    script = f"/{built['django/main.js']['file']}"
    return render(request, "notes/note.html", {"note": get_object_or_404(Note, pk=number), "script": script})
