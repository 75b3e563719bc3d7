"""Under a uvicorn that has no library for WebSockets: what is answered, and what its access log has of the tokens."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from structlog.testing import capture_logs

from cowrite import Settings, create_app, mount
from cowrite.runtime import Runtime
from cowrite.tokens import generate_secret
from live_server import serving

UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "WebSocket",
    "sec-websocket-key": "AQIDBAUGBwgJCgsMDQ4PEA==",
    "sec-websocket-version": "13",
}


@pytest.mark.rule("HT13", "HT52")
@pytest.mark.parametrize("below", ["", "/collab"])
async def test_an_upgrade_that_comes_as_a_request(
    tmp_path: Path, below: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told what is missing, in the log once; the access log has the address without the token, mounted or not."""
    settings = Settings(data_dir=tmp_path / "data", secret=SecretStr(generate_secret()))
    app = await asyncio.to_thread(create_app, settings)
    host: FastAPI = app
    if below:
        host = FastAPI()
        mount(host, below, app)
    runtime: Runtime = app.state.cowrite
    caplog.set_level(logging.INFO, "uvicorn.access")
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
    config = uvicorn.Config(host, ws="none", lifespan="on", log_config=None)
    with capture_logs() as logs:
        async with serving(config, runtime) as url, httpx.AsyncClient(base_url=f"{url}{below}", trust_env=False) as client:
            for path in ("/yjs/d?a=b&token=Geheimnis", "/hocuspocus?token=Geheimnis"):
                answer = await client.get(path, headers=UPGRADE)
                assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
                assert answer.headers["upgrade"] == "websocket"
                assert "pip install websockets" in answer.json()["detail"]
            assert (await client.get("/yjs/d?token=Geheimnis&access_token=Geheimnis")).status_code == 404
    (line,) = (entry for entry in logs if entry["log_level"] == "error")
    assert "pip install websockets" in line["reason"]
    assert "Geheimnis" not in str(logs)
    # More than one handler may have it, by what ran before in this process.
    written = list(dict.fromkeys(record.getMessage() for record in caplog.records if record.name == "uvicorn.access"))
    assert [line.split('"')[1] for line in written] == [
        f"GET {below}{address} HTTP/1.1" for address in ("/yjs/d?a=b", "/hocuspocus", "/yjs/d")
    ]
