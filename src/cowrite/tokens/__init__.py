"""Session tokens: how a host application tells cowrite who its user is and what they may do.

The host's backend makes a token for each user with :func:`issue`, from a secret that it shares with cowrite, and hands it to
the page; the page gives it to cowrite. A token is a JWE in compact form (RFC 7516: ``dir``, A256GCM), so that the user can
neither change nor read it, and any JOSE library can make one. Its claims:

=============  ===========================================================================================================
``sub``        the user's id, 1 to 255 characters
``documents``  object: document id or pattern → ``read``, ``comment``, ``write`` or ``admin``. In a pattern ``*`` stands for
               any characters, also none and also ``/``; nothing else is special
``iat exp``    when it was made and when it ends: whole seconds since 1970. ``nbf`` is heeded where it is given
``jti``        a UUID of its own
``name``       optional: what others see, 1 to 255 characters
``colour``     optional: of the caret; ``#`` and 3 to 8 hex digits, or a CSS colour name
``once``       optional: true for a token that opens one session only
=============  ===========================================================================================================

Other claims are ignored. In the header ``kid`` names the key (the first 12 characters of its RFC 7638 thumbprint); without
it every key is tried. A ``typ`` other than ``JWT`` is refused: it is kept for tokens of another purpose under the same keys.

Where it is configured, a signed JWT with the same claims is a session token too: :mod:`cowrite.tokens.signed`. In exchange for
a session token clients get short-lived access tokens: :mod:`cowrite.tokens.access`. docs/tokens.md is the page for hosts.
"""

from cowrite.core.ports import AccessClaims
from cowrite.tokens.access import ACCESS_SECONDS, AccessTokens
from cowrite.tokens.authorizers import DemoAuthorizer, TokenAuthorizer
from cowrite.tokens.claims import LEEWAY, MAX_TEXT, MAX_TOKEN_CHARACTERS, SessionClaims, TokenInvalid
from cowrite.tokens.keys import (
    SECRET_BYTES,
    Key,
    SecretInvalid,
    ephemeral_keys,
    generate_secret,
    parse_jwt_secrets,
    parse_secrets,
)
from cowrite.tokens.public_keys import MAX_JWKS_BYTES, JwksInvalid, KeySource, KeysUnavailable, PublicKey, parse_jwks
from cowrite.tokens.session import issue, verify
from cowrite.tokens.signed import SignedTokens

# Not here: cowrite.tokens.jwks. It loads an HTTP client, which only a server with COWRITE_JWKS needs.
__all__ = [
    "ACCESS_SECONDS",
    "LEEWAY",
    "MAX_JWKS_BYTES",
    "MAX_TEXT",
    "MAX_TOKEN_CHARACTERS",
    "SECRET_BYTES",
    "AccessClaims",
    "AccessTokens",
    "DemoAuthorizer",
    "JwksInvalid",
    "Key",
    "KeySource",
    "KeysUnavailable",
    "PublicKey",
    "SecretInvalid",
    "SessionClaims",
    "SignedTokens",
    "TokenAuthorizer",
    "TokenInvalid",
    "ephemeral_keys",
    "generate_secret",
    "issue",
    "parse_jwks",
    "parse_jwt_secrets",
    "parse_secrets",
    "verify",
]
