"""Results go into the documentation as they are printed: nobody types them."""

from __future__ import annotations

import re
from pathlib import Path


def put_into(path: Path, name: str, text: str) -> None:
    """Replace what is between ``<!-- name -->`` and ``<!-- end of name -->``. Raises ``SystemExit`` where they are missing."""
    old = path.read_text()
    between = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end of {re.escape(name)} -->)", re.DOTALL)
    if not between.search(old):
        raise SystemExit(f"{path} has no place for the results: a line <!-- {name} --> and a line <!-- end of {name} -->")
    path.write_text(between.sub(lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}", old))
