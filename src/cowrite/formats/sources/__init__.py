"""What is imported, from its bytes to blocks: Markdown, HTML and plain text.

They say nothing of an editor: :mod:`cowrite.formats.shapes` does. ProseMirror's JSON is a tree already, and stays the one it is
(:mod:`cowrite.formats.sources.prosemirror`).
"""
