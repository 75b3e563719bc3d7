"""The unit of time in tests. COWRITE_TEST_SLOWNESS=5 makes all waits five times as long, for a machine that is slow or busy."""

from __future__ import annotations

import os

MS = 0.001 * float(os.environ.get("COWRITE_TEST_SLOWNESS", "1"))
"""One millisecond, in seconds: ``await asyncio.sleep(50 * MS)``, ``timeout=500 * MS``."""
