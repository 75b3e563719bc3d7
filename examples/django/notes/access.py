"""Who may do what: settings.COWRITE names this."""

from notes.models import Note


def grant(user, document_id: str) -> str | None:
    """The owner and the writers write, others who have logged in read."""
    note = Note.objects.filter(body=document_id).first()
    if note is None or not user.is_authenticated:
        return None
    return "write" if user == note.owner or note.writers.contains(user) else "read"
