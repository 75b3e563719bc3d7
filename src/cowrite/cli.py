"""The command ``cowrite``. What a command needs is imported when it runs, so that ``--help`` answers at once.

A mistake of the caller's is one clear line on stderr and exit code 2; there is no traceback. `serve` ends with 1 where its
database cannot be reached: that may be better when it is started again.
"""

from __future__ import annotations

import gc
import re
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from cowrite.backup_command import backup, repair
from cowrite.doctor_command import doctor
from cowrite.history_commands import COMMANDS
from cowrite.import_command import import_
from cowrite.load_command import load
from cowrite.mcp_command import mcp
from cowrite.migrate_command import migrate
from cowrite.startup import DEMO_ADMIN_DAYS, StartError, require_loopback
from cowrite.webhook_commands import WEBHOOK_COMMANDS, WEBHOOKS_HELP

if TYPE_CHECKING:
    from cowrite.settings import Settings

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_DAYS: Final = 366
_TAKES_NOTHING: Final = ""
"""The metavar of a plain flag: the help would call it ``<bool>`` otherwise."""
_COMPLETION: Final = {
    "install_completion": "Let this shell complete commands and options.",
    "show_completion": "Print what would be installed for that.",
}
"""Typer's own options."""


class _Command(TyperCommand):
    def get_help_option(self, ctx: Any) -> Any:
        return _plain(super().get_help_option(ctx))


class _Group(TyperGroup):
    def get_help_option(self, ctx: Any) -> Any:
        return _plain(super().get_help_option(ctx))

    def get_params(self, ctx: Any) -> Any:
        parameters: list[Any] = super().get_params(ctx)
        for parameter in parameters:
            if parameter.name in _COMPLETION:
                _plain(parameter)
                parameter.help = _COMPLETION[parameter.name]
        return parameters


def _plain(flag: Any) -> Any:
    if flag is not None:
        flag.metavar = _TAKES_NOTHING
    return flag


app = typer.Typer(
    cls=_Group,
    help="Real-time collaboration server: any Yjs editor connects, and an acknowledged edit is on disk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; the entry point of ``cowrite``."""
    try:
        app()
    except StartError as error:
        for problem in error.problems:
            print(f"cowrite: {problem}", file=sys.stderr)
        sys.exit(error.code)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"cowrite {version('cowrite')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", metavar=_TAKES_NOTHING, callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def _flag(setting: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{setting.replace('_', '-')}", metavar="VALUE", show_default=False, help=f"{text} Else COWRITE_{setting.upper()}."
    )
    return option


@app.command(cls=_Command)
def serve(
    *,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo", metavar=_TAKES_NOTHING, help="Let everybody read and write without a token, on this machine only."
        ),
    ] = False,
    host: Annotated[str | None, _flag("host", "The address to listen on.")] = None,
    port: Annotated[str | None, _flag("port", "The port to listen on; 0 takes any free one.")] = None,
    data_dir: Annotated[str | None, _flag("data_dir", "The folder of the documents.")] = None,
    database_url: Annotated[str | None, _flag("database_url", "The database, instead of one in the data folder.")] = None,
    database_pool_size: Annotated[str | None, _flag("database_pool_size", "Connections to a database server, at most.")] = None,
    redis_url: Annotated[str | None, _flag("redis_url", "A Redis or Valkey server.")] = None,
    single_use_tokens: Annotated[
        str | None, _flag("single_use_tokens", "true: a session token opens one session only.")
    ] = None,
    jwks: Annotated[str | None, _flag("jwks", "The public keys of signed JWTs: a file or a URL.")] = None,
    jwt_issuer: Annotated[str | None, _flag("jwt_issuer", "The issuer that signed JWTs must name.")] = None,
    jwt_audience: Annotated[str | None, _flag("jwt_audience", "The audience that signed JWTs must name.")] = None,
    workers: Annotated[str | None, _flag("workers", "How many processes serve.")] = None,
    drain_seconds: Annotated[
        str | None, _flag("drain_seconds", "Over how many seconds sockets are sent away when it is told to stop.")
    ] = None,
    allowed_origins: Annotated[str | None, _flag("allowed_origins", "Web pages that may connect.")] = None,
    max_connections: Annotated[str | None, _flag("max_connections", "How many sockets are taken.")] = None,
    batch_ms: Annotated[str | None, _flag("batch_ms", "The longest time that edits are collected, in ms.")] = None,
    batch_min_ms: Annotated[str | None, _flag("batch_min_ms", "The shortest such time.")] = None,
    version_pause: Annotated[str | None, _flag("version_pause", "Seconds without an edit until a version is made.")] = None,
    version_interval: Annotated[str | None, _flag("version_interval", "The shortest time between such versions.")] = None,
    version_retention_days: Annotated[
        str | None, _flag("version_retention_days", "How many days such versions are kept; 0: for ever.")
    ] = None,
    delete_grace_days: Annotated[
        str | None, _flag("delete_grace_days", "How many days a deleted document can be undeleted.")
    ] = None,
    log_level: Annotated[str | None, _flag("log_level", "debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, _flag("log_format", "auto, console or json.")] = None,
    trace: Annotated[str | None, _flag("trace", "true: send traces by OpenTelemetry.")] = None,
) -> None:
    """Start the server. It runs until it is told to stop (Ctrl-C, SIGTERM). With workers, SIGHUP replaces them one by one."""
    from cowrite.settings import load_settings, unknown_names

    settings = load_settings(
        host=host,
        port=port,
        data_dir=data_dir,
        database_url=database_url,
        database_pool_size=database_pool_size,
        redis_url=redis_url,
        single_use_tokens=single_use_tokens,
        jwks=jwks,
        jwt_issuer=jwt_issuer,
        jwt_audience=jwt_audience,
        workers=workers,
        drain_seconds=drain_seconds,
        allowed_origins=allowed_origins,
        max_connections=max_connections,
        batch_ms=batch_ms,
        batch_min_ms=batch_min_ms,
        version_pause=version_pause,
        version_interval=version_interval,
        version_retention_days=version_retention_days,
        delete_grace_days=delete_grace_days,
        log_level=log_level,
        log_format=log_format,
        trace=trace,
    )
    for line in unknown_names():
        print(f"cowrite: warning: {line}", file=sys.stderr)
    admin: str | None = None
    if demo:
        require_loopback(settings.host)
        if settings.secret is None:
            settings, admin = _with_secret(settings)
    elif settings.secret is None:
        raise _no_secret()

    from cowrite.log import configure

    configure(settings.log_level, settings.log_format)
    if settings.workers > 1:
        from cowrite.supervisor import supervise

        raise typer.Exit(supervise(settings, demo=demo, admin=admin))
    # What is imported and made until the server is ready stays: to look through it for garbage takes an eighth of that time.
    gc.disable()
    try:
        from cowrite.server import serve as run

        raise typer.Exit(run(settings, demo=demo, admin=admin))
    finally:
        gc.enable()


@app.command(cls=_Command)
def secret() -> None:
    """Print a fresh secret for COWRITE_SECRET."""
    from cowrite.tokens import generate_secret

    print(generate_secret())


@app.command(cls=_Command)
def token(
    *,
    sub: Annotated[str, typer.Option(metavar="USER", help="The user's id.")],
    document: Annotated[
        list[str], typer.Option(metavar="ID", help="A document's id; * stands for any characters. May be given several times.")
    ],
    grant: Annotated[str, typer.Option(metavar="GRANT", help="read, comment, write or admin.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The name that others see.")] = None,
    ttl: Annotated[str, typer.Option(metavar="TIME", help="How long it is valid: 90s, 30m, 12h, 7d.")] = "1h",
    once: Annotated[bool, typer.Option("--once", metavar=_TAKES_NOTHING, help="It opens one session only.")] = False,
) -> None:
    """Print a session token, made with the first key of COWRITE_SECRET."""
    from cowrite.core.grant import Grant
    from cowrite.settings import load_settings
    from cowrite.tokens import issue

    keys = load_settings().keys
    if not keys:
        raise _no_secret()
    if grant not in set(Grant):
        raise StartError(f"--grant is {grant}; it takes one of {', '.join(Grant)}")
    seconds = _seconds(ttl)
    try:
        print(issue(keys[0], sub=sub, name=name, documents=dict.fromkeys(document, grant), ttl=seconds, single_use=once))
    except ValueError as error:
        raise StartError(f"no token was made: {error}") from None


for command in (doctor, migrate, load, backup, repair, mcp, *COMMANDS, import_):
    app.command(command.__name__.rstrip("_"), cls=_Command)(command)
webhooks = typer.Typer(cls=_Group, help=WEBHOOKS_HELP, no_args_is_help=True)
for name, about_webhooks in WEBHOOK_COMMANDS.items():
    webhooks.command(name, cls=_Command)(about_webhooks)
app.add_typer(webhooks, name="webhooks")


def _no_secret() -> StartError:
    program = "cowrite" if shutil.which("cowrite") else shlex.quote(sys.argv[0])
    return StartError(f'no secret is set; make one and keep it:  echo "COWRITE_SECRET=$({program} secret)" >> .env')


def _with_secret(settings: Settings) -> tuple[Settings, str]:
    """A secret for this run of the demo alone, and a token for its administrator. With a secret that somebody has set the token
    would be good for more than this run, and is not made.
    """
    from pydantic import SecretStr

    from cowrite.tokens import generate_secret, issue

    made = generate_secret()
    token = issue(made, sub="admin", name="Administrator", documents={"*": "admin"}, ttl=DEMO_ADMIN_DAYS * _UNITS["d"])
    return settings.model_copy(update={"secret": SecretStr(made)}), token


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if match is None:
        raise StartError(f"--ttl is {text}; it takes a whole number with s, m, h or d behind it, such as 30m")
    seconds = int(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= _LONGEST_DAYS * _UNITS["d"]:
        raise StartError(f"--ttl is {text}; it takes more than nothing and at most {_LONGEST_DAYS}d")
    return seconds
