"""Settings: where they come from, and what people are told when one is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from pydantic import ValidationError

from cowrite.limit_settings import is_limit
from cowrite.settings import Settings, SettingsError, load_settings, unknown_names
from cowrite.tokens import generate_secret

ROOT = Path(__file__).resolve().parent.parent
NO_DATABASE = (
    "--database-url is no URL that can be used: write sqlite:///path/to/file, "
    "postgresql://user:password@host/database, mariadb://… or mysql://…"
)
REFERENCE = ROOT / "docs" / "reference" / "settings.md"
SECRET = "A" * 43


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, without a ``.env``, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COWRITE_{name.upper()}", raising=False)
    return tmp_path


def problems(**flags: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(**flags)
    return list(caught.value.problems)


@pytest.mark.rule("CL2")
def test_flag_over_environment_over_file_over_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source is asked only when those before it say nothing."""
    assert load_settings().port == 8000
    (folder / ".env").write_text("COWRITE_PORT=8001\n")
    assert load_settings().port == 8001
    monkeypatch.setenv("COWRITE_PORT", "8002")
    assert load_settings(port=None).port == 8002
    assert load_settings(port="8003").port == 8003


@pytest.mark.rule("CL2")
def test_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """``COWRITE_SECRET=`` is what a shell script without a secret writes."""
    monkeypatch.setenv("COWRITE_SECRET", "")
    monkeypatch.setenv("COWRITE_PORT", "")
    assert (load_settings().secret, load_settings().port) == (None, 8000)


@pytest.mark.rule("CL3")
@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "abc", "COWRITE_PORT is abc; it takes a whole number from 0 to 65535"),
        ("PORT", "65536", "COWRITE_PORT is 65536; it takes a whole number from 0 to 65535"),
        ("WORKERS", "0", "COWRITE_WORKERS is 0; it takes a whole number from 1 to 256"),
        ("BATCH_MS", "101", "COWRITE_BATCH_MS is 101; it takes a whole number from 0 to 100"),
        ("BATCH_MIN_MS", "-1", "COWRITE_BATCH_MIN_MS is -1; it takes a whole number from 0 to 100"),
        ("LOG_LEVEL", "loud", "COWRITE_LOG_LEVEL is loud; it takes debug, info, warning or error"),
        ("LOG_FORMAT", "xml", "COWRITE_LOG_FORMAT is xml; it takes auto, console or json"),
        ("SECRET", "AAAA", "COWRITE_SECRET holds 3 bytes; it needs 32 bytes, base64url. Make one with: cowrite secret"),
        (
            "ALLOWED_ORIGINS",
            "https://a.example, https://b.example/page",
            (
                "COWRITE_ALLOWED_ORIGINS holds https://b.example/page, which is no origin: "
                "write scheme://host or scheme://host:port without anything behind it"
            ),
        ),
    ],
)
def test_wrong_variable(name: str, value: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the variable, its value and what it takes; for one of ``.env`` it says that."""
    monkeypatch.setenv(f"COWRITE_{name}", value)
    assert problems() == [line]
    monkeypatch.delenv(f"COWRITE_{name}")
    (folder / ".env").write_text(f"COWRITE_{name}={value}\n")
    assert problems() == [line.replace(f"COWRITE_{name}", f"COWRITE_{name} in .env", 1)]


@pytest.mark.rule("CL3", "TO23")
def test_wrong_jwt_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What signed tokens could not be checked by stops the start, and the line does not show a secret."""
    (folder / "broken.json").write_text('{"keys": [')
    (folder / "private.json").write_text(json.dumps({"keys": [ECKey.generate_key("P-256").as_dict(private=True)]}))
    names = "--jwks names the file"
    no_url = "--jwks is no URL that can be used: write https://host/path, without a user, a password or a #fragment"
    for jwks, line in (
        ("gone.json", f"{names} gone.json, which is no key set that can be used: it cannot be read: No such file or directory"),
        ("a\0b", f"{names} a\0b, which is no key set that can be used: it cannot be read: embedded null byte"),
        ("broken.json", f"{names} broken.json, which is no key set that can be used: not JSON"),
        (
            "private.json",
            (
                f"{names} private.json, which is no key set that can be used: no usable key: key 1 is a private key: "
                "publish only its public part, and no longer use this one"
            ),
        ),
        ("https://user:password@host.example/keys", no_url),
        ("http://", no_url),
        ("https://host.example/keys#fragment", no_url),
    ):
        assert problems(jwks=jwks) == [line]
    monkeypatch.setenv("COWRITE_JWT_SECRET", "x" * 20)
    assert problems() == ["COWRITE_JWT_SECRET has 20 bytes; HS256 needs 32 or more. Make one with: cowrite secret"]
    monkeypatch.delenv("COWRITE_JWT_SECRET")
    assert problems(jwt_issuer="me") == [
        "COWRITE_JWT_ISSUER is set, but no JWT is taken: set COWRITE_JWT_SECRET or COWRITE_JWKS, or unset it"
    ]
    assert problems(single_use_tokens="maybe") == ["--single-use-tokens is maybe; it takes true or false"]


@pytest.mark.rule("TO21")
def test_jwt_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are keys in their order; a key set is a file or a URL."""
    assert (load_settings().jwt_keys, load_settings().jwks_url) == ((), None)
    monkeypatch.setenv("COWRITE_JWT_SECRET", f"{'a' * 32}, {'b' * 32}")
    (folder / "keys.json").write_text(json.dumps({"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}))
    settings = load_settings(jwks="keys.json", jwt_audience="cowrite")
    assert [key.material.raw_value for key in settings.jwt_keys] == [b"a" * 32, b"b" * 32]
    assert (settings.jwks, settings.jwks_url) == ("keys.json", None)
    url = "HTTPS://[::1]:8443/keys?version=2"
    assert load_settings(jwks=url).jwks_url == url
    assert "a" * 32 not in repr(settings)


@pytest.mark.rule("CL3")
def test_wrong_flag_and_variable_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wrong setting is told at once, each as it was given."""
    monkeypatch.setenv("COWRITE_LOG_LEVEL", "loud")
    assert problems(port="99999", host="") == [
        "--host is empty; it takes a host name or an IP address",
        "--port is 99999; it takes a whole number from 0 to 65535",
        "COWRITE_LOG_LEVEL is loud; it takes debug, info, warning or error",
    ]


@pytest.mark.rule("CL3")
def test_shortest_window_over_longest() -> None:
    """Two settings that contradict each other are one line."""
    assert problems(batch_ms="20", batch_min_ms="30") == ["COWRITE_BATCH_MIN_MS is 30, more than COWRITE_BATCH_MS (20)"]


@pytest.mark.rule("CL3")
def test_unreadable_file(folder: Path) -> None:
    """A ``.env`` that is no UTF-8 text is one line."""
    (folder / ".env").write_bytes(b"COWRITE_HOST=\xff\xfe\n")
    [line] = problems()
    assert line.startswith("the file .env cannot be read: ")


@pytest.mark.rule("CL4")
def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a message nor a representation shows what may hold a password."""
    hidden = generate_secret()
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.setenv(f"COWRITE_{name}", f"oracle://user:{hidden}@host/db")
    monkeypatch.setenv("COWRITE_SECRET", f"{SECRET},{hidden}x")
    shown = problems()
    assert len(shown) == 3
    assert hidden not in "\n".join(shown)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert hidden not in str(caught.value)
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"COWRITE_{name}")
    monkeypatch.setenv("COWRITE_SECRET", hidden)
    assert hidden not in repr(load_settings(database_url="sqlite:///secret/folder"))
    assert "secret/folder" not in repr(load_settings(database_url="sqlite:///secret/folder"))
    assert hidden not in repr(load_settings(database_url=f"postgresql://user:{hidden}@host/db"))


@pytest.mark.rule("CL5")
def test_unknown_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name is told with the nearest one where there is one; what only tests read is no mistake."""
    (folder / ".env").write_text("COWRITE_PROT=1\nPORT=2\n")
    monkeypatch.setenv("COWRITE_ZZZ", "1")
    monkeypatch.setenv("COWRITE_FUZZ", "1")
    monkeypatch.setenv("COWRITE_TEST_SLOWNESS", "1")
    assert unknown_names() == [
        "COWRITE_PROT is no setting and is ignored; did you mean COWRITE_PORT?",
        "COWRITE_ZZZ is no setting and is ignored",
    ]
    assert load_settings().port == 8000


@pytest.mark.rule("CL5")
def test_names_of_the_tests_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets a variable for the checks and then starts a server gets no warning."""
    named = {
        name
        for folder in ("tests", "scripts", "bench")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"environ(?:\.get\(|\[)\"(COWRITE_\w+)\"", path.read_text())
    }
    assert {"COWRITE_FUZZ", "COWRITE_CHAOS", "COWRITE_CHROMIUM", "COWRITE_TEST_SLOWNESS"} <= named
    for name in named:
        monkeypatch.setenv(name, "1")
    assert unknown_names() == []


@pytest.mark.rule("CL6")
@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            {"database_url": "oracle://h/db"},
            NO_DATABASE,
        ),
        (
            {"database_url": "sqlite:///"},
            NO_DATABASE,
        ),
    ],
)
def test_what_this_release_cannot_do(flags: dict[str, str], line: str) -> None:
    """Nothing is silently ignored."""
    assert problems(**flags) == [line]


REDIS = [
    "redis://h",
    "redis://h:6379/0",
    "redis://user:p%40ss@127.0.0.1:1/15",
    "rediss://:pass@[::1]:6379/",
    "unix:///run/redis.sock",
]
NO_REDIS = [
    "h:6379",
    "http://h",
    "redis://",
    "redis:///0",
    "redis://h:port",
    "redis://h:99999",
    "redis://h/name",
    "redis://h?db=1",
    "redis://h#1",
    "redis://h h",
    "redis://h\n",
    "redis://[h",
    "unix://",
    "unix:///",
    "unix://host/path",
]


@pytest.mark.rule("CL51")
@pytest.mark.parametrize("url", REDIS)
def test_redis(url: str) -> None:
    assert load_settings(redis_url=url).redis_url == url


@pytest.mark.rule("CL51")
@pytest.mark.parametrize("url", NO_REDIS)
def test_no_redis(url: str) -> None:
    """One line that says what to write, and does not repeat what may hold a password."""
    line = (
        "--redis-url is no URL that can be used: write redis://host:6379/0, rediss://host:6379/0 or unix:///path/to/socket, "
        "without a ?query or a #fragment"
    )
    assert problems(redis_url=url) == [line]


def test_database_file() -> None:
    """The documents are in the data folder, or in the file that the URL names."""
    assert load_settings(data_dir="here").database_file == Path("here/cowrite.sqlite3")
    assert load_settings(database_url="sqlite:///a/b.db").database_file == Path("a/b.db")
    assert load_settings(database_url="sqlite+aiosqlite:////a/b.db").database_file == Path("/a/b.db")
    for scheme in ("postgres", "postgresql", "postgresql+asyncpg", "mysql", "mariadb"):
        assert load_settings(database_url=f"{scheme}://u:p@h/db").database_file is None


def test_keys_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first key of the secret is the issuing one; without a secret there is none."""
    assert load_settings().keys == ()
    first, second = generate_secret(), generate_secret()
    monkeypatch.setenv("COWRITE_SECRET", f"{first}, {second}")
    both = load_settings().keys
    monkeypatch.setenv("COWRITE_SECRET", first)
    assert len(both) == 2
    assert both[0] == load_settings().keys[0]


def test_origins() -> None:
    """Origins are a list, in the lower case in which browsers send them."""
    assert load_settings(allowed_origins="HTTPS://App.example, capacitor://localhost:80,").allowed_origins == (
        "https://app.example",
        "capacitor://localhost:80",
    )
    assert load_settings(allowed_origins="*").allowed_origins == ("*",)
    assert Settings(allowed_origins=("https://a.example",)).allowed_origins == ("https://a.example",)


@pytest.mark.rule("CL14")
def test_reference_page() -> None:
    """The page's table is the settings' own."""
    rows = []
    for name, field in sorted(Settings.model_fields.items(), key=lambda one: one[0].startswith("webhook_")):
        if is_limit(name):  # they have a page of their own
            continue
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        value = str(field.default).lower() if isinstance(field.default, bool) else field.default
        default = "none" if value in {None, ()} else f"`{value}`"
        rows.append(f"| `COWRITE_{name.upper()}` | {default} | {extra['takes']} | {field.description} |")
    assert [line for line in REFERENCE.read_text().splitlines() if line.startswith("| `")] == rows
