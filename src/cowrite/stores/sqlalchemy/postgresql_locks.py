"""The keys of PostgreSQL's advisory locks: a database has one space of them for all, so they stand together."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = 7_161_427_633_580
"""Under it the tables are changed."""
CHANGES: Final = SCHEMA + 1
"""Who writes to documents shares it with others, and who changes grants has it alone (``changes.py``)."""
STAY: Final = SCHEMA + 2
"""Who is at work shares it with others, and who fills the database has it alone."""
