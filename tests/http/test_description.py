"""schemathesis holds the API against its own description.

It asks every route for what the description allows and for what it does not, and checks each answer: no failure of the server,
no status, content type, header or shape that is not described, nothing taken that the description forbids, and nothing refused
that it allows, as far as it can say. ``schemathesis.toml`` has the exceptions.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from demo_server import DemoServer
from http_api import REALTIME, SECRET, token
from timing import MS

CONFIG = Path(__file__).with_name("schemathesis.toml")
TIMEOUT = 30_000 * MS
PROGRAM = Path(sys.executable).with_name("schemathesis")


@pytest.mark.rule("HT50")
@pytest.mark.timeout(4 * TIMEOUT)  # 10 s where nothing else runs
def test_the_api_is_what_its_description_says(tmp_path: Path) -> None:
    """About a thousand requests, the same in each run. They come from an administrator, who gets to see most of it."""
    session_token = token("ana", **{"*": "admin"})
    with DemoServer(tmp_path, demo=False, COWRITE_SECRET=SECRET) as server:
        asked = {"document_id": "doc_123", "session_token": session_token}
        admitted = httpx.post(f"{server.url.rstrip('/')}{REALTIME}/connect", json=asked, trust_env=False).json()
        tokens = {"COWRITE_SESSION_TOKEN": session_token, "COWRITE_ACCESS_TOKEN": admitted["access_token"]}
        command = [str(PROGRAM), f"--config-file={CONFIG}", "run", f"{server.url}openapi.json", "--include-path-regex=^/api/"]
        tried = subprocess.run(command, cwd=tmp_path, env=os.environ | tokens, capture_output=True, text=True, check=False)
        assert (tried.returncode, server.errors()) == (0, []), tried.stdout
    assert "33 selected" in tried.stdout, tried.stdout
