"""Notes that several people write at once: FastAPI knows who they are and what they may do, cowrite keeps what they write.

uvicorn main:app --ws-max-size 33554432
"""

import os
import re
import secrets
from pathlib import Path
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, Form, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from cowrite import Settings, create_app, mount
from cowrite.tokens import generate_secret, issue

# Several processes need the same one: echo "COWRITE_SECRET=$(cowrite secret)" >> .env
SECRET = os.environ.get("COWRITE_SECRET") or generate_secret()
PAGES = Path(os.environ.get("PAGES", "../dist"))
"""What `npm run build` makes in the folder above."""
LOGIN = """<form method="post" action="/login">
  <label>Your name <input name="name" autofocus></label> <button>Come in</button>
</form>"""

# Yours is a database.
people: dict[str, str] = {}
"""By the cookie: who it is."""
readers = {"Rita"}
"""These may look, and not write."""

app = FastAPI()
mount(app, "/collab", create_app(Settings(secret=SECRET)))
app.mount("/assets", StaticFiles(directory=PAGES / "assets"))


def person(session: Annotated[str | None, Cookie()] = None) -> str:
    """Who asks, by your own login."""
    if session not in people:
        raise HTTPException(401, "Log in at / first.")
    return people[session]


Person = Annotated[str, Depends(person)]


@app.get("/")
def start() -> HTMLResponse:
    return HTMLResponse(LOGIN)


@app.post("/login")
def login(name: Annotated[str, Form(min_length=1, max_length=80)]) -> RedirectResponse:
    session = secrets.token_urlsafe()
    people[session] = name
    answer = RedirectResponse("/notes/first", status_code=303)
    answer.set_cookie("session", session, httponly=True, samesite="lax")
    return answer


@app.get("/notes/{note}")
def page(note: str, person: Person) -> FileResponse:
    return FileResponse(PAGES / "fastapi" / "index.html")


@app.post("/notes/{note}/token")
def token(note: str, person: Person) -> PlainTextResponse:
    """What the editor shows to cowrite: who this is, and what they may do in this note, for an hour."""
    if not re.fullmatch("[a-z0-9-]+", note):  # a "*" in a document's name would be all documents
        raise HTTPException(404, "There is no such note.")
    grant = "read" if person in readers else "write"
    return PlainTextResponse(issue(SECRET, sub=person, name=person, documents={f"notes/{note}": grant}, ttl=3600))
