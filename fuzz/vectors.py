"""Bytes that others have written, to begin with."""

from __future__ import annotations

import base64
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def frames_of(name: str) -> list[bytes]:
    """The frames of a file of ``spec/vectors``, valid ones and others."""
    vectors = json.loads((ROOT / "spec" / "vectors" / f"{name}.json").read_text(encoding="utf-8"))["vectors"]
    return [bytes.fromhex(one["hex"]) for one in vectors]


def updates_of_yjs(every: int = 1) -> list[bytes]:
    """Updates that Yjs has written, each ``every``-th of them."""
    lines = (ROOT / "tests" / "crdt" / "yjs_corpus.jsonl").read_text(encoding="utf-8").splitlines()
    return [base64.b64decode(json.loads(line)["update"]) for line in lines[::every]]


def state_vectors_of_yjs(every: int = 1) -> list[bytes]:
    """State vectors that Yjs has written."""
    lines = (ROOT / "tests" / "crdt" / "yjs_corpus.jsonl").read_text(encoding="utf-8").splitlines()
    return [base64.b64decode(json.loads(line)["state_vector"]) for line in lines[::every]]
