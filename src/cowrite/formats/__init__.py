"""A document's state as text, HTML, Markdown and ProseMirror's JSON: for search, previews, mails and exports; and the way back.

The functions take what :func:`cowrite.crdt.state.get_state` returns, and know nothing of the engine. They do no I/O, take time
in proportion to the state, and never fail because of what a client has written into a document.
"""

from cowrite.formats.html import to_html
from cowrite.formats.markdown import to_markdown
from cowrite.formats.prosemirror import to_prosemirror
from cowrite.formats.text import to_text

__all__ = ["to_html", "to_markdown", "to_prosemirror", "to_text"]
