"""Notes that several people write at once: Flask knows who they are and what they may do; cowrite runs beside it.

flask --app main run
"""

import os
import re
from pathlib import Path

from flask import Flask, Response, abort, jsonify, redirect, request, send_from_directory, session

from cowrite.tokens import issue

SECRET = os.environ["COWRITE_SECRET"]
"""The same as cowrite's."""
COWRITE = os.environ.get("COWRITE_URL", "http://127.0.0.1:8000/")
"""Where browsers find it. Behind a proxy that has both it is a path, such as /collab/."""
PAGES = Path(os.environ.get("PAGES", "../dist")).resolve()
"""What `npm run build` makes in the folder above."""
LOGIN = """<form method="post">
  <label>Your name <input name="name" autofocus></label> <button>Come in</button>
</form>"""
READERS = {"Rita"}
"""These may look, and not write. Yours is a database."""

app = Flask(__name__, static_folder=PAGES / "assets", static_url_path="/assets")
app.secret_key = f"cookies: {SECRET}"


def person() -> str:
    """Who asks, by your own login."""
    name: str | None = session.get("name")
    if name is None:
        abort(401, "Log in at / first.")
    return name


@app.route("/", methods=["GET", "POST"])
def start() -> str | Response:
    name = request.form.get("name", "").strip()
    if not 1 <= len(name) <= 80:
        return LOGIN
    session["name"] = name
    return redirect("/notes/first", 303)


@app.get("/notes/<note>")
def page(note: str) -> Response:
    person()
    return send_from_directory(PAGES / "flask", "index.html")


@app.post("/notes/<note>/token")
def token(note: str) -> Response:
    """Where cowrite is, and what the editor shows it: who this is, and what they may do in this note, for an hour."""
    name = person()
    if not re.fullmatch("[a-z0-9-]+", note):  # a "*" in a document's name would be all documents
        abort(404)
    grant = "read" if name in READERS else "write"
    shown = issue(SECRET, sub=name, name=name, documents={f"notes/{note}": grant}, ttl=3600)
    return jsonify(cowrite=COWRITE, token=shown)
