"""Tokens of the npm package ``jose``, in Node, made by the very code that docs/tokens.md shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from cowrite.core.clock import SystemClock
from cowrite.core.ports import Grant
from cowrite.tokens import SignedTokens, generate_secret, issue, parse_jwt_secrets, parse_secrets, verify
from cowrite.tokens.jwks import JwksFile
from node_program import install, node

pytestmark = [pytest.mark.timeout(120), pytest.mark.rule("TO31")]  # the first run installs the package

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "jose"
NODE_ON_THE_PAGE = re.compile(r"^### Node\n.*?^```js\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def program() -> Path:
    """The folder of jose.mjs, with the page's code in token.mjs."""
    folder = install(HERE / "jose", CACHE)
    code = NODE_ON_THE_PAGE.search((ROOT / "docs" / "tokens.md").read_text())
    assert code
    (folder / "token.mjs").write_text(code[1])
    return folder


def run(program: Path, call: str, *, setting: str = "", **options: Any) -> Any:
    """One call of jose.mjs; ``setting`` is COWRITE_SECRET in its environment, as in that of a host."""
    environment = os.environ | {"COWRITE_SECRET": setting}
    told = json.dumps({"call": call, **options})
    ended = subprocess.run(
        [node(), "jose.mjs"], cwd=program, env=environment, input=told, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    return json.loads(ended.stdout)


def now() -> int:
    return time.time_ns() // 1_000_000


def test_a_token_of_the_page(program: Path) -> None:
    """What the page's code makes is a session token for an hour; of several secrets it takes the first."""
    first, second = generate_secret(), generate_secret()
    user = {"id": "ana", "name": "Ana Žižek 😀"}
    documents = {"doc_*": "write", "team/plan": "admin"}
    token = run(program, "make", setting=f"{first},{second}", user=user, documents=documents)
    claims = verify(token, parse_secrets(first), now())
    assert (claims.sub, claims.name, claims.exp - claims.iat) == ("ana", user["name"], 3600)
    assert claims.documents == {"doc_*": Grant.WRITE, "team/plan": Grant.ADMIN}
    assert abs(claims.iat - now() / 1000) < 60
    assert claims.jti != verify(run(program, "make", setting=first, user=user, documents={}), parse_secrets(first), now()).jti


def test_a_token_of_cowrite(program: Path) -> None:
    """What cowrite makes is read by the library, header and all claims."""
    secret = generate_secret()
    token = issue(secret, sub="ana", name="Ana Žižek 😀", colour="teal", documents={"doc_1": "read"}, ttl=60, single_use=True)
    read = run(program, "decrypt", token=token, secret=secret)
    (key,) = parse_secrets(secret)
    claims = verify(token, [key], now())
    assert read["protectedHeader"] == {"alg": "dir", "enc": "A256GCM", "kid": key.kid}
    assert read["payload"] == {
        "sub": "ana",
        "name": "Ana Žižek 😀",
        "colour": "teal",
        "documents": {"doc_1": "read"},
        "iat": claims.iat,
        "exp": claims.iat + 60,
        "jti": claims.jti,
        "once": True,
    }


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA", "Ed25519"])
async def test_signed_tokens(program: Path, algorithm: str, tmp_path: Path) -> None:
    """JWTs that the library signs are taken, by its own form of the public key."""
    begins = now() // 1000
    claims = {"sub": "bo", "documents": {"*": "read"}, "iat": begins, "exp": begins + 60, "jti": str(uuid.uuid4())}
    secret = generate_secret() if algorithm == "HS256" else None
    made = run(program, "sign", claims=claims, algorithm=algorithm, kid="k1", secret=secret)
    if secret is None:
        file = tmp_path / "keys.json"
        file.write_text(json.dumps({"keys": [made["key"]]}))
        tokens = SignedTokens(source=JwksFile(file, SystemClock()))
    else:
        tokens = SignedTokens(secrets=parse_jwt_secrets(secret))
    assert (await tokens.verify(made["token"], now())).sub == "bo"
