"""The settings of a server: ``COWRITE_*`` in the environment, in the file ``.env``, or flags of ``cowrite serve``.

A flag wins over the environment, the environment over ``.env``. The same table for people is docs/reference/settings.md.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from cowrite.limit_settings import LimitSettings
from cowrite.setting_values import is_database, is_redis, try_key_set
from cowrite.startup import StartError
from cowrite.webhook_settings import WebhookSettings

if TYPE_CHECKING:
    from cowrite.tokens import Key

PREFIX: Final = "COWRITE_"
ENV_FILE: Final = ".env"
_HIDDEN: Final = frozenset({"secret", "database_url", "redis_url", "jwt_secret", "jwks", "webhook_url", "webhook_secret"})
"""Settings whose values hold passwords: no message shows them."""
_OF_THE_TESTS: Final = ("COWRITE_BENCH_NODE", "COWRITE_CHAOS", "COWRITE_CHROMIUM", "COWRITE_FUZZ", "COWRITE_TEST_")
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)
_WEB_URL: Final = re.compile(r"https?://[^/?#@\s]+(?:[/?][^#\s]*)?", re.IGNORECASE)
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#@\s]+")


def _setting(default: object, *, takes: str, description: str, **more: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"takes": takes}, **more)


class Settings(WebhookSettings, LimitSettings):
    """What a server is told. Raises pydantic's ``ValidationError``; :func:`load_settings` tells people what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILE, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    host: str = _setting(
        "127.0.0.1",
        takes="a host name or an IP address",
        description="The address to listen on. `0.0.0.0` and `::` are all addresses of the machine.",
        min_length=1,
    )
    port: int = _setting(
        8000,
        takes="a whole number from 0 to 65535",
        description="The port to listen on. 0 takes any free one; the first line that the server prints says which.",
        ge=0,
        le=65535,
    )
    data_dir: Path = _setting(
        Path("data"),
        takes="a folder",
        description="Where the documents are kept when no database URL is set. "
        "It is created, for its owner alone, when it does not exist.",
    )
    database_url: str | None = _setting(
        None,
        takes="a URL `sqlite:///path/to/file`, `postgresql://user:password@host/database`, `mariadb://…` or `mysql://…`",
        description="The database, see [Databases](../databases.md). Without it: `cowrite.sqlite3` in the data folder.",
        repr=False,
    )
    database_pool_size: int = _setting(
        10,
        takes="a whole number from 2 to 1000",
        description="How many connections to a database server a process opens at most. SQLite is not concerned.",
        ge=2,
        le=1000,
    )
    redis_url: str | None = _setting(
        None,
        takes="a URL `redis://host:6379/0`, `rediss://host:6379/0` (TLS) or `unix:///path/to/socket`",
        description="A Redis (7 or newer) or Valkey server, or any server of a cluster; it needs "
        "`pip install 'cowrite[redis]'`. By it processes tell one another of edits and cursors, and there it is noted "
        "who is in which document. "
        "Without it, and while it does not work, edits and presence of other processes come from the "
        "database, and cursors stay within a process. User and password go before the host: `redis://user:password@host`, "
        "percent-encoded.",
        repr=False,
    )
    secret: SecretStr | None = _setting(
        None,
        takes="32 random bytes in base64url; several, separated by commas, while keys are exchanged",
        description="The key of the session tokens, shared with the host application. The first one issues, all are accepted. "
        "`cowrite secret` prints a new one.",
    )
    single_use_tokens: bool = _setting(
        False,
        takes="`true` or `false`",
        description="Whether every session token opens one session only, as one with the claim `once` does.",
    )
    jwt_secret: SecretStr | None = _setting(
        None,
        takes="a text of 32 bytes or more; several, separated by commas, while keys are exchanged",
        description="The secret of session tokens that are JWTs signed with HS256. Without it there are none.",
    )
    jwks: str | None = _setting(
        None,
        takes="a file, or a URL with `https://` or `http://`",
        description="The public keys (a JSON Web Key Set) of session tokens that are JWTs signed with RS256, ES256 or EdDSA. "
        "Without it there are none.",
        repr=False,
    )
    jwt_issuer: str | None = _setting(
        None, takes="a text", description="The `iss` that signed JWTs must have. Without it any or none will do."
    )
    jwt_audience: str | None = _setting(
        None,
        takes="a text",
        description="The audience that `aud` of signed JWTs must name. Without it only those without `aud` are taken.",
    )
    workers: int = _setting(
        1,
        takes="a whole number from 1 to 256",
        description="How many processes serve behind the one port. A good number is that of the processor's cores.",
        ge=1,
        le=256,
    )
    drain_seconds: float = _setting(
        5.0,
        takes="a number of seconds from 0 to 300",
        description="When the server is told to stop, it sends its sockets away spread over so many seconds, so that not all "
        "clients come back at once, elsewhere or to its successor. 0: all at once.",
        ge=0,
        le=300,
        allow_inf_nan=False,
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = _setting(
        (),
        takes="origins such as `https://app.example`, separated by commas, or `*`",
        description="The web pages that may connect, besides those that this server itself serves. `*` lets in all.",
    )
    max_connections: int = _setting(
        10_000,
        takes="a whole number from 1",
        description="How many sockets a process takes. Near it, clients that can are told to poll; beyond it, none come in.",
        ge=1,
    )
    batch_ms: int = _setting(
        100,
        takes="a whole number from 0 to 100",
        description="The longest time, in milliseconds, that an edit waits for others to be sent and stored together with it.",
        ge=0,
        le=100,
    )
    batch_min_ms: int = _setting(
        0,
        takes="a whole number from 0 to 100",
        description="The shortest such time. With 0 an edit in a quiet document goes on at once. Both 100: a fixed interval.",
        ge=0,
        le=100,
    )
    version_pause: int = _setting(
        60,
        takes="a whole number of seconds from 0 to 86400",
        description="A version of a document is made by itself when nobody has edited it for so many seconds. 0: none ever is.",
        ge=0,
        le=86_400,
    )
    version_interval: int = _setting(
        600,
        takes="a whole number of seconds from 0 to 86400",
        description="No more than one such version is made in so many seconds, but for the one when the server stops.",
        ge=0,
        le=86_400,
    )
    version_retention_days: int = _setting(
        0,
        takes="a whole number of days from 0 to 36500",
        description="Such versions are removed after so many days; versions with a name never are. 0: they are kept for ever, "
        "one for each hour after a day, one for each day after a week, one for each week after 90 days.",
        ge=0,
        le=36_500,
    )
    delete_grace_days: int = _setting(
        30,
        takes="a whole number of days from 0 to 36500",
        description="A deleted document can be undeleted for so many days; then all that it held is deleted for good. 0: it is "
        "only deleted for good when an administrator asks for that.",
        ge=0,
        le=36_500,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info",
        takes="`debug`, `info`, `warning` or `error`",
        description="The least serious lines that are still logged.",
    )
    log_format: Literal["auto", "console", "json"] = _setting(
        "auto",
        takes="`auto`, `console` or `json`",
        description="Lines for people (`console`) or one JSON object a line (`json`). `auto`: the first on a terminal.",
    )
    trace: bool = _setting(
        False,
        takes="`true` or `false`",
        description="Whether requests, edits and commits are traced with OpenTelemetry, see [Tracing](../tracing.md). "
        "It needs the extra `otel`; where the traces go is said by OpenTelemetry's own variables, `OTEL_…`.",
    )

    @field_validator("database_url")
    @classmethod
    def _usable_database(cls, value: str | None) -> str | None:
        if value is not None and not is_database(value):
            uses = "sqlite:///path/to/file, postgresql://user:password@host/database, mariadb://… or mysql://…"
            raise ValueError(f"COWRITE_DATABASE_URL is no URL that can be used: write {uses}")
        return value

    @field_validator("redis_url")
    @classmethod
    def _usable_redis(cls, value: str | None) -> str | None:
        if value is not None and not is_redis(value):
            uses = "redis://host:6379/0, rediss://host:6379/0 or unix:///path/to/socket, without a ?query or a #fragment"
            raise ValueError(f"COWRITE_REDIS_URL is no URL that can be used: write {uses}")
        return value

    @field_validator("secret")
    @classmethod
    def _usable_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            from cowrite.tokens import parse_secrets  # here: most starts of the command line need no cryptography

            parse_secrets(value.get_secret_value())
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _usable_jwt_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            from cowrite.tokens import parse_jwt_secrets

            parse_jwt_secrets(value.get_secret_value())
        return value

    @field_validator("jwks")
    @classmethod
    def _usable_key_set(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _WEB.match(value):
            try_key_set(Path(value))
        elif not _WEB_URL.fullmatch(value):
            raise ValueError(
                "COWRITE_JWKS is no URL that can be used: write https://host/path, without a user, a password or a #fragment"
            )
        return value

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = tuple(part.strip().lower() for part in value.split(",") if part.strip())
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"COWRITE_ALLOWED_ORIGINS holds {origin}, which is no origin: write scheme://host or scheme://host:port "
                    "without anything behind it"
                )
        return origins

    @model_validator(mode="after")
    def _ordered(self) -> Settings:
        if self.batch_min_ms > self.batch_ms:
            raise ValueError(f"COWRITE_BATCH_MIN_MS is {self.batch_min_ms}, more than COWRITE_BATCH_MS ({self.batch_ms})")
        return self

    @model_validator(mode="after")
    def _signed_by_something(self) -> Settings:
        if self.jwt_secret is None and self.jwks is None:
            for name in ("jwt_issuer", "jwt_audience"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{_variable(name)} is set, but no JWT is taken: set COWRITE_JWT_SECRET or COWRITE_JWKS, or unset it"
                    )
        return self

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys of ``secret``, the issuing one first; empty without a secret."""
        if self.secret is None:
            return ()
        from cowrite.tokens import parse_secrets

        return parse_secrets(self.secret.get_secret_value())

    @property
    def jwt_keys(self) -> tuple[Key, ...]:
        """The keys of ``jwt_secret``; empty without it."""
        if self.jwt_secret is None:
            return ()
        from cowrite.tokens import parse_jwt_secrets

        return parse_jwt_secrets(self.jwt_secret.get_secret_value())

    @property
    def jwks_url(self) -> str | None:
        """The URL of the key set, when it is not in a file."""
        return self.jwks if self.jwks is not None and _WEB.match(self.jwks) else None

    @property
    def database_file(self) -> Path | None:
        """The SQLite file that the documents are in; None: they are on a database server."""
        if self.database_url is None:
            return self.data_dir / "cowrite.sqlite3"
        return Path(self.database_url.partition(":///")[2]) if self.database_url.startswith("sqlite") else None


class SettingsError(StartError):
    """Settings that a server cannot start with. ``problems`` has one line for each."""


def load_settings(**flags: str | None) -> Settings:
    """Read flags, the environment and ``.env``. A flag that is None was not given.

    Raises :class:`SettingsError`, whose lines name each wrong setting the way it was given.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(*(_problem(dict(detail), given) for detail in error.errors())) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file {ENV_FILE} cannot be read: {error}") from None


def unknown_names() -> list[str]:
    """One line for each ``COWRITE_*`` in the environment or ``.env`` that is no setting, with the name it is nearest to."""
    known = [_variable(name) for name in Settings.model_fields]
    names = {name.upper() for name in (*os.environ, *_env_file()) if name.upper().startswith(PREFIX)}
    return [
        f"{name} is no setting and is ignored{_suggestion(name, known)}"
        for name in sorted(names.difference(known))
        if not name.startswith(_OF_THE_TESTS)
    ]


def _suggestion(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.removeprefix(PREFIX), [other.removeprefix(PREFIX) for other in known], n=1)
    return f"; did you mean {PREFIX}{near[0]}?" if near else ""


def _problem(detail: Mapping[str, Any], flags: Mapping[str, str]) -> str:
    if not detail["loc"]:
        return str(detail["ctx"]["error"])
    field = str(detail["loc"][0])
    where = _where(field, flags)
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"]).replace(_variable(field), where)
    extra = Settings.model_fields[field].json_schema_extra
    takes = extra["takes"] if isinstance(extra, dict) else ""
    value = "wrong" if field in _HIDDEN else _given(field, flags)
    return f"{where} is {value}; it takes {takes}".replace("`", "")


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _where(field: str, flags: Mapping[str, str]) -> str:
    if field in flags:
        return f"--{field.replace('_', '-')}"
    return _variable(field) if _from_environment(field) is not None else f"{_variable(field)} in {ENV_FILE}"


def _given(field: str, flags: Mapping[str, str]) -> str:
    return flags.get(field) or _from_environment(field) or _env_file().get(_variable(field)) or "empty"


def _from_environment(field: str) -> str | None:
    return next((value for name, value in os.environ.items() if name.upper() == _variable(field) and value), None)


def _env_file() -> dict[str, str | None]:
    return {name.upper(): value for name, value in dotenv_values(ENV_FILE).items()}
