"""What ``cowrite mcp`` does: an MCP server by which an assistant lists, reads and edits documents under its own name and grant.

It is somebody's client: it reads over the API (``api``), and edits by :mod:`cowrite.client` (``visits``), with people who type
meanwhile (``writing``). ``tools`` is what an assistant sees. Needs the package ``mcp``: ``pip install 'cowrite[mcp]'``.

What stands in documents was written by others. Here it is only ever looked for and shown: nothing in it is taken for a command,
each line of it that is shown begins with its number, and names of others are quoted.
"""
