"""`cowrite doctor` on real databases, servers and ports: what it finds, and what it says to do."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, KeySet

from cowrite.tokens import generate_secret
from demo_server import DemoServer
from key_server import key_server, sends
from mariadb_server import MariadbServer
from postgres_server import PostgresServer
from test_cli import Run, folder
from test_cli import run as run_in_process
from test_history_commands import data, two_documents
from test_server_databases import cowrite
from valkey_server import ValkeyServer, free_port
from webhook_receiver import WEBHOOK_SECRET, webhook_receiver

__all__ = ["data", "folder", "run_in_process", "two_documents"]


class Doctor:
    """Runs it with ``--json`` in this process."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, *arguments: str) -> tuple[object, dict[str, list[tuple[str, str, str]]]]:
        """Exit code, and by subject the findings: level, what, advice."""
        code, out, err = self._run("doctor", "--json", "--port", "0", *arguments)
        assert err == ""
        told = json.loads(out)
        assert set(told) == {"status", "checks"}
        assert (code == 1) is (told["status"] == "problem")
        found: dict[str, list[tuple[str, str, str]]] = {}
        for check in told["checks"]:
            found.setdefault(check["subject"], []).append((check["level"], check["what"], check["advice"] or ""))
        return code, found


@pytest.fixture
def doctor(run_in_process: Run) -> Doctor:
    return Doctor(run_in_process)


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    made = generate_secret()
    monkeypatch.setenv("COWRITE_SECRET", made)
    return made


@pytest.mark.rule("DR1", "DR2")
def test_an_empty_folder(doctor: Doctor, folder: Path, run_in_process: Run) -> None:
    """What `cowrite serve` would stop at is a problem with the line that mends it; nothing is made."""
    code, found = doctor()
    assert code == 1
    assert found["secret"] == [
        (
            "problem",
            "no secret is set, and without --demo a server does not start",
            'echo "COWRITE_SECRET=$(cowrite secret)" >> .env',
        )
    ]
    ((level, what, _),) = found["database"]
    assert (level, what) == (
        "note",
        f"the database {folder / 'data' / 'cowrite.sqlite3'} is not there yet; `cowrite serve` makes it",
    )
    assert doctor("--demo")[0] == 0
    assert list(folder.iterdir()) == []
    code, out, err = run_in_process("doctor", "--port", "0")
    assert (code, err) == (1, "")
    assert out.endswith("\n1 problem to mend.\n")
    assert 'COWRITE_SECRET=$(cowrite secret)"' in out


@pytest.mark.rule("DR1")
def test_a_database_that_is_there(doctor: Doctor, data: Path, secret: str) -> None:
    before = data.read_bytes()
    code, found = doctor()
    assert code == 0
    assert found["database"] == [("ok", f"The database {data}: documents: 2", "")]
    room, speed = found["disk"]
    assert re.fullmatch(r"\d+\.\d GB free in " + re.escape(str(data.parent)), room[1])
    assert re.fullmatch(r"\d+\.\d ms until a write is on the disk", speed[1])
    assert data.read_bytes() == before


@pytest.mark.rule("DR3")
def test_what_was_set_wrongly(doctor: Doctor, folder: Path, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("COWRITE_WORKERS", "many")
    code, found = doctor()
    assert (code, found) == (
        1,
        {"settings": [("problem", "COWRITE_WORKERS is many", "it takes a whole number from 1 to 256")]},
    )
    monkeypatch.setenv("COWRITE_WORKERS", "200")
    monkeypatch.setenv("COWRITE_WORKER", "4")
    monkeypatch.setenv("COWRITE_ALLOWED_ORIGINS", "*")
    monkeypatch.setenv("COWRITE_SECRET", f"{secret},{generate_secret()}")
    (folder / ".env").write_text("COWRITE_HOST=0.0.0.0\n")
    (folder / ".env").chmod(0o644)
    code, found = doctor()
    assert code == 0
    warned = [what for checks in found.values() for level, what, _ in checks if level == "warning"]
    assert warned[:4] == [
        "COWRITE_WORKER is no setting and is ignored; did you mean COWRITE_WORKERS?",
        ".env can be read by other users of this machine (mode 0644)",
        "COWRITE_ALLOWED_ORIGINS is *: every web page may connect",
        "200 workers without Redis: edits of others come four times a second, cursors not at all",
    ]
    assert found["address"][0][1] == "0.0.0.0 can be reached from other machines"
    assert found["secret"][0][1].startswith("2 keys are accepted")
    (folder / ".env").chmod(0o600)
    assert not any("can be read" in what for _, what, _ in doctor()[1]["settings"])
    assert doctor("--demo")[1]["address"][0][0] == "problem"


@pytest.mark.rule("DR4")
def test_a_port_that_is_free_taken_or_served(run_in_process: Run, secret: str, tmp_path: Path) -> None:
    def told(port: int) -> tuple[str, str]:
        _, out, _ = run_in_process("doctor", "--json", "--port", str(port))
        ((level, what),) = [
            (check["level"], check["what"]) for check in json.loads(out)["checks"] if check["subject"] == "port"
        ]
        return level, what

    free = free_port()
    assert told(free) == ("ok", f"{free} of 127.0.0.1 is free")
    with key_server(sends(b"[]")) as other:
        port = int(other.url.split(":")[2].partition("/")[0])
        assert told(port) == ("problem", f"port {port} of 127.0.0.1 is taken by another program")
    with DemoServer(tmp_path) as server:
        level, what = told(server.port)
        assert (level, what) == ("ok", f"a cowrite serves on port {server.port} of 127.0.0.1: documents open: 0, sockets: 0")
    with DemoServer(tmp_path, COWRITE_REDIS_URL=f"redis://127.0.0.1:{free_port()}") as server:
        level, what = told(server.port)
        assert (level, what.partition("; ")[2]) == ("problem", "it is degraded")


@pytest.mark.rule("DR5")
def test_the_database_server(postgres_server: PostgresServer, doctor: Doctor, secret: str) -> None:
    """Not there, without tables, with old ones, of the right version, ahead in time."""
    for statement in ("DROP DATABASE IF EXISTS examined", "CREATE DATABASE examined"):
        asyncio.run(postgres_server.sql(statement))
    url = postgres_server.url("examined")
    where = f"The database 'examined' at 127.0.0.1:{postgres_server.port}"

    def found(url: str = url) -> list[tuple[str, str, str]]:
        return doctor("--database-url", url)[1]["database"]

    ((level, what, advice),) = found(url.replace(f":{postgres_server.port}", ":1"))
    assert (level, advice) == ("problem", "see host and port in the database's URL")
    assert what.startswith("Nobody answers at the database 'examined' at 127.0.0.1:1 ")
    ((level, what, advice),) = found()
    assert (level, what) == ("note", f"{where} has no tables yet, and 0006 is needed")
    assert advice == "`cowrite migrate` makes them, as `cowrite serve` does when it starts"
    assert cowrite(Path(), "migrate", "--database-url", url)[0] == 0
    asyncio.run(postgres_server.sql("UPDATE cowrite_schema SET version_num = '0004'", "examined"))
    assert found() == [("problem", f"{where} has version 0004 of the tables, and 0006 is needed", "run: cowrite migrate")]
    asyncio.run(postgres_server.sql("UPDATE cowrite_schema SET version_num = '0006'", "examined"))
    _, all_found = doctor("--database-url", url)
    assert all_found["database"][0] == ("ok", f"{where}: documents: 0", "")
    assert all_found["database"][1][1].startswith("it answers in ")
    assert all_found["clock"] == [("ok", "the database's clock agrees with this machine's", "")]
    ahead = round((time.time() + 5000) * 1000)
    row = f"('d', '', 1, '', 1, 0, {ahead}, {ahead}, 1)"
    columns = "document_id, epoch, head_offset, head_entry_id, first_offset, log_bytes, created_at, updated_at, number"
    asyncio.run(postgres_server.sql(f"INSERT INTO documents ({columns}) VALUES {row}", "examined"))
    _, (level, what, _) = doctor("--database-url", url)[1]["clock"]
    assert level == "warning"
    assert re.fullmatch(r"the last edit is from \d{4} s in the future", what)


@pytest.mark.rule("DR5")
def test_a_user_who_may_only_read(mariadb_server: MariadbServer, mariadb_url: str, doctor: Doctor, secret: str) -> None:
    database = mariadb_url.rpartition("/")[2]
    asyncio.run(mariadb_server.sql("DROP USER IF EXISTS reader"))
    asyncio.run(mariadb_server.sql("CREATE USER reader"))
    asyncio.run(mariadb_server.sql(f"GRANT SELECT ON `{database}`.* TO reader"))
    url = mariadb_server.url(database, user="reader")
    ((level, what, _),) = doctor("--database-url", url)[1]["database"]
    assert level == "problem"
    assert "denied" in what
    assert doctor("--database-url", mariadb_url)[1]["database"][0][0] == "ok"


@pytest.mark.rule("DR2", "DR5")
def test_a_file_that_is_no_database(doctor: Doctor, folder: Path, secret: str) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "cowrite.sqlite3").write_bytes(b"no database " * 100)
    code, found = doctor()
    assert (code, found["database"][0][0]) == (1, "problem")
    with closing(sqlite3.connect(folder / "empty.sqlite3")) as connection, connection:
        connection.execute("CREATE TABLE other (x)")
    before = (folder / "empty.sqlite3").read_bytes()
    ((level, what, _),) = doctor("--database-url", f"sqlite:///{folder}/empty.sqlite3")[1]["database"]
    assert (level, "has no tables yet" in what) == ("note", True)
    assert (folder / "empty.sqlite3").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["data", "empty.sqlite3"]
    (folder / "taken").write_bytes(b"")
    ((level, what, _),) = doctor("--data-dir", "taken")[1]["data folder"]
    assert level == "problem"
    assert what.startswith(f"the data folder {folder}/taken cannot be used")


@pytest.mark.rule("DR6")
def test_redis(shared_valkey: ValkeyServer, doctor: Doctor, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(url: str) -> dict[str, Any]:
        return doctor("--redis-url", url)[1]

    there = found(shared_valkey.url)
    assert there["redis"][0][1].startswith(f"127.0.0.1:{shared_valkey.port} answers in ")
    assert there["clock"] == [("ok", "the clock of Redis agrees with this machine's", "")]
    port = free_port()
    ((level, what, advice),) = found(f"redis://ana:hidden@127.0.0.1:{port}")["redis"]
    assert (level, "hidden" in what + advice) == ("problem", False)
    assert what.startswith(f"127.0.0.1:{port} cannot be reached")
    monkeypatch.setitem(sys.modules, "hiredis", None)
    ((level, what, advice),) = found(shared_valkey.url)["redis"]
    assert (level, advice) == ("problem", "install it with:  pip install 'cowrite[redis]'")
    assert what.startswith("For COWRITE_REDIS_URL the package hiredis is missing (")


@pytest.mark.rule("DR3")
def test_keys_behind_a_url(doctor: Doctor, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key_set = json.dumps(KeySet([ECKey.generate_key("P-256")]).as_dict(private=False)).encode()
    with key_server(sends(key_set)) as server:
        monkeypatch.setenv("COWRITE_JWKS", server.url)
        assert doctor()[1]["signing keys"] == [("ok", "1 in the key set behind COWRITE_JWKS", "")]
        server.answer = sends(b"no", status=500)
        ((level, what, advice),) = doctor()[1]["signing keys"]
        assert (level, "500" in what, "JSON Web Key Set" in advice) == ("problem", True, True)


@pytest.mark.rule("DR3")
def test_no_secret_is_told(doctor: Doctor, secret: str, run_in_process: Run) -> None:
    _, out, _ = run_in_process("doctor", "--port", "0", "--database-url", "postgresql://ana:hidden@127.0.0.1:1/x")
    assert secret not in out
    assert "hidden" not in out


@pytest.mark.rule("DR7")
def test_where_webhooks_go(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("COWRITE_WEBHOOK_SECRET", WEBHOOK_SECRET)
    with webhook_receiver() as receiver:
        place = receiver.url.partition("/hooks")[0]
        monkeypatch.setenv("COWRITE_WEBHOOK_URL", receiver.url)
        assert doctor()[1]["webhooks"] == [("ok", f"somebody answers at {place}", "")]
    [(level, what, advice)] = doctor()[1]["webhooks"]
    assert (level, advice) == ("warning", "start the receiver, or correct COWRITE_WEBHOOK_URL")
    assert what.startswith(f"nobody answers at {place} (")
    assert receiver.received == []


@pytest.mark.rule("OT11")
def test_where_traces_go(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    assert "tracing" not in doctor()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:password@collector.example:4318/x")
    [(level, _, advice)] = doctor()[1]["tracing"]
    assert (level, advice) == ("note", "set COWRITE_TRACE=true if that is not meant")
    monkeypatch.setenv("COWRITE_TRACE", "true")
    assert doctor()[1]["tracing"] == [("ok", "traces go to https://collector.example:4318", "")]
    monkeypatch.setattr("cowrite.doctor.setup.is_installed", lambda: False)
    code, found = doctor()
    [(level, _, advice)] = found["tracing"]
    assert (code, level, advice) == (1, "problem", "pip install 'cowrite[otel]'")
