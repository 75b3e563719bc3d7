"""The built pages of the project, shipped as files.

Their sources are in `clients/web`; `npm run build` there writes `pages/` and `admin/`. Everything under their `assets/`
carries a hash of its content in its name and may be cached for ever; `index.html` must be asked for again each time.
"""

from pathlib import Path
from typing import Final

PAGES: Final = Path(__file__).parent / "pages"
"""Folder of the demo page: `index.html`, `favicon.svg`, `licenses.md` and `assets/`. It works under any URL prefix."""
ADMIN: Final = Path(__file__).parent / "admin"
"""Folder of the page for administrators. It shows nothing by itself: it asks the API, with the token that it is given."""
