"""The settings of webhooks."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from cowrite.core.event_types import ContentFormat, EventType

_EVENTS: Final = ", ".join(f"`{event}`" for event in EventType)
_FORMATS: Final = ", ".join(f"`{form}`" for form in ContentFormat)
_URL: Final = re.compile(r"https?://[^/?#@\s]+(?:[/?][^#\s]*)?", re.IGNORECASE)


def _setting(default: object, *, takes: str, description: str, **more: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"takes": takes}, **more)


class WebhookSettings(BaseSettings):
    """Where webhooks go, and which."""

    webhook_url: str | None = _setting(
        None,
        takes="a URL with `https://` or `http://`",
        description="Where it is told what happens to documents, see [Being told what happens](../hooks.md#webhooks). "
        "Without it there are no webhooks.",
        repr=False,
    )
    webhook_secret: SecretStr | None = _setting(
        None,
        takes="`whsec_` and 24 to 64 random bytes in base64; several, separated by commas, while secrets are exchanged",
        description="What webhooks are signed with, by each of them.",
    )
    webhook_events: Annotated[tuple[EventType, ...], NoDecode] = _setting(
        (), takes=f"some of {_EVENTS}, separated by commas", description="What is told. Without it: all of that."
    )
    webhook_pause: float = _setting(
        2.0,
        takes="a number of seconds from 0 to 3600",
        description="So long after the first edit that was not told, `document.changed` tells of all that have come.",
        ge=0,
        le=3600,
        allow_inf_nan=False,
    )

    webhook_content: ContentFormat | None = _setting(
        None,
        takes=f"one of {_FORMATS}",
        description="`document.changed` has in this form what the document says then. Without it no message has any of that.",
    )
    webhook_content_bytes: int = _setting(
        64 << 10,
        takes="a whole number from 1024 to 1048576",
        description="How many bytes of JSON a message may have of it; of a larger document it has only where to read it.",
        ge=1 << 10,
        le=1 << 20,
    )

    @field_validator("webhook_url")
    @classmethod
    def _usable_webhook_url(cls, value: str | None) -> str | None:
        if value is not None and not _URL.fullmatch(value):
            raise ValueError(
                "COWRITE_WEBHOOK_URL is no URL that can be used: write https://host/path, without a user, a password or a "
                "#fragment"
            )
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _usable_webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            from cowrite.webhooks.signing import parse_webhook_secrets

            parse_webhook_secrets(value.get_secret_value())
        return value

    @field_validator("webhook_events", mode="before")
    @classmethod
    def _event_names(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _signed(self) -> WebhookSettings:
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("COWRITE_WEBHOOK_URL is set, but no COWRITE_WEBHOOK_SECRET: what is sent there is signed with it")
        return self

    @property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """The keys of ``webhook_secret``; empty without it."""
        if self.webhook_secret is None:
            return ()
        from cowrite.webhooks.signing import parse_webhook_secrets

        return parse_webhook_secrets(self.webhook_secret.get_secret_value())
