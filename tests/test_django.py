"""cowrite in Django: what its settings may be, and the example project with people who log in."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
import httpx
import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings
from websockets.exceptions import ConnectionClosed

from cowrite.tokens import parse_secrets, verify
from example_programs import edit, example_program, manage, prepare_project

GRANT = f"{__name__}.may_all"


def may_all(user: Any, document_id: str) -> str | None:
    """Who may do what in the documents of these tests."""
    return {"read": "read", "wrong": "all"}.get(document_id, "write")


@pytest.fixture(scope="module", autouse=True)
def configured() -> None:
    if not django_settings.configured:
        django_settings.configure(INSTALLED_APPS=["cowrite.django"], SECRET_KEY="not a secret")
        django.setup()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``settings.COWRITE`` with these keys, and what cowrite makes of it."""
    from cowrite.django.conf import collaboration

    with ExitStack() as stack:

        def tell(**given: Any) -> Any:
            stack.enter_context(override_settings(COWRITE={"GRANT": GRANT, "DATA_DIR": tmp_path / "data"} | given))
            return collaboration()

        yield tell


@pytest.mark.rule("DJ1")
def test_settings(told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    said = told(PATH="docs/", DATABASE_URL="postgresql://ana:hidden@127.0.0.1/notes", TOKEN_SECONDS=60)
    assert (said.path, said.token_seconds, said.grant) == ("/docs", 60, may_all)
    assert said.settings.database_url == "postgresql://ana:hidden@127.0.0.1/notes"
    derived = said.settings.keys
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=["not a secret"]):
        assert told().settings.keys[1:] == derived  # what was made before is still taken
    monkeypatch.setenv("COWRITE_SECRET", "A" * 43)
    assert told(PATH="/other").settings.keys == parse_secrets("A" * 43)


@pytest.mark.rule("DJ1")
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"GRNT": "x"}, r"COWRITE\['GRNT'\] is no setting; did you mean 'GRANT'\?"),
        ({"WORKERS": 4}, r"COWRITE\['WORKERS'\] says nothing here: the ASGI server that runs Django has that"),
        ({"PATH": "/"}, r"COWRITE\['PATH'\] is the whole site"),
        ({"TOKEN_SECONDS": 0}, r"COWRITE\['TOKEN_SECONDS'\] is 0; it takes"),
        ({"BATCH_MS": 1000}, r"COWRITE\['BATCH_MS'\] is 1000; it takes a whole number from 0 to 100"),
    ],
)
def test_wrong_settings(told: Callable[..., Any], given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=problem):
        told(**given)
    with pytest.raises(ImproperlyConfigured, match="'GRANT'"):
        told(GRANT=None)


class Person:
    """As much of a user as cowrite looks at."""

    def __init__(self, pk: int | None, name: str) -> None:
        self.pk = pk
        self.name = name

    def get_full_name(self) -> str:
        return self.name

    def get_username(self) -> str:
        return "ana"


@pytest.mark.rule("DJ2")
def test_tokens(told: Callable[..., Any]) -> None:
    from cowrite.django.access import grant_of, token_for

    keys = told().settings.keys
    now = int(time.time() * 1000)
    for person, sub, name in ((Person(7, "Ana Lima"), "7", "Ana Lima"), (Person(7, ""), "7", "ana")):
        claims = verify(token_for(person, "read"), keys, now)
        assert (claims.sub, claims.name, dict(claims.documents)) == (sub, name, {"read": "read"})
    nobody = Person(None, "")
    visitors = [token_for(nobody, "read", visitor=visitor) for visitor in ("one", "one", None, None)]
    subs = [verify(visitor, keys, now).sub for visitor in visitors]
    assert subs[:2] == ["anonymous:one"] * 2
    assert len(set(subs)) == 3, "nobody shares limits with others who have not logged in"
    with pytest.raises(ValueError, match="it takes one of"):
        grant_of(Person(7, ""), "wrong")
    with pytest.raises(ValueError, match=r"has a \* in it"):
        token_for(Person(7, ""), "notes/*")


@pytest.mark.rule("DJ3")
def test_what_nobody_has_written_in(told: Callable[..., Any], tmp_path: Path) -> None:
    """Reading makes no database; neither does a command."""
    from cowrite.django.fields import Document

    told()
    assert (Document("none").text(), asyncio.run(Document("none").atext())) == ("", "")
    with pytest.raises(CommandError, match="cowrite history none has ended with"):
        call_command("cowrite", "history", "none")
    assert not (tmp_path / "data").exists()


def log_in(client: httpx.Client, name: str) -> None:
    client.get("/login/")
    form = {"username": name, "password": name, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    assert client.post("/login/", data=form).status_code == 200
    assert "sessionid" in client.cookies


def token(client: httpx.Client, document: str) -> httpx.Response:
    headers = {"X-CSRFToken": client.cookies["csrftoken"]}
    return client.post("/collaboration/token", data={"document": document}, headers=headers)


@pytest.mark.rule("DJ4", "DJ5")
def test_the_django_example(tmp_path: Path) -> None:
    """The owner writes, somebody else reads, who has not logged in does neither; views and commands see what was written."""
    prepare_project(tmp_path)
    (tmp_path / ".vite").mkdir()
    (tmp_path / ".vite" / "manifest.json").write_text('{"django/main.js": {"file": "assets/main.js"}}')
    with ExitStack() as stack:
        url = stack.enter_context(example_program("django", tmp_path, tmp_path, "project.asgi:application"))
        ana, bo, nobody = (stack.enter_context(httpx.Client(base_url=url, follow_redirects=True)) for _ in range(3))
        for client, name in ((ana, "ana"), (bo, "bo")):
            log_in(client, name)
        form = {"title": "Soup", "csrfmiddlewaretoken": ana.cookies["csrftoken"]}
        page = ana.post("/", data=form).text
        (script,) = re.findall(r'<script id="collaboration" type="application/json">(.*)</script>', page)
        about = json.loads(script)
        document = about["document"]
        assert about["path"] == "/collab"
        assert re.fullmatch(r"notes\.note/[0-9a-f-]{36}", document)
        address = f"{url}/collab/yjs/{document}"

        assert asyncio.run(edit(address, token(ana, document).text, "Salt \U0001f9c2", "text")) == "Salt \U0001f9c2"
        assert asyncio.run(edit(address, token(bo, document).text, None, "text")) == "Salt \U0001f9c2"
        asked = {"document_id": document, "session_token": token(bo, document).text}
        assert bo.post("/collab/api/v2/realtime/connect", json=asked).json()["grant"] == "read"
        nobody.get("/login/")
        assert token(nobody, document).status_code == 403
        assert token(ana, "notes.note/other").status_code == 403
        assert [token(ana, wrong).status_code for wrong in ("*", "", "a\0", "x" * 256)] == [400] * 4
        assert ana.post("/collaboration/token", data={"document": document}).status_code == 403  # another site's page
        with pytest.raises(ConnectionClosed):
            asyncio.run(edit(address, "wrong", None))

        assert "Salt \U0001f9c2" in bo.get("/").text
        assert re.fullmatch(r"[-0-9]+ [:0-9]+Z  1  \+7 -0  \(1\)\n", manage(tmp_path, "cowrite", "history", document))
        read = "from notes.models import Note; print(Note.objects.get().body.html())"
        assert "Salt" in manage(tmp_path, "shell", "--verbosity", "0", "-c", read)
