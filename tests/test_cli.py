"""The command line."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from cowrite import cli
from cowrite.limit_settings import is_limit
from cowrite.settings import Settings, load_settings
from cowrite.startup import StartError, listen, prepare_folder, require_loopback
from cowrite.tokens import parse_secrets, verify

COWRITE = Path(sys.executable).parent / "cowrite"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COWRITE_{name.upper()}", raising=False)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """For those who run ``serve`` in this process until it fails; test_server.py does it from outside."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in ("", "cowrite")}
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()


class Run:
    """Runs the command line in this process: ``run("token", "--sub", "ana") -> (exit code, stdout, stderr)``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: str) -> tuple[object, str, str]:
        self.monkeypatch.setattr(sys, "argv", [str(COWRITE), *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = self.capsys.readouterr()
        return caught.value.code, written.out, written.err


def serve(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run ``cowrite serve --demo`` as its own process, for the starts that get further than the settings."""
    command: list[str | Path] = [COWRITE, "serve", "--demo", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    return answer.returncode, answer.stdout, answer.stderr


@pytest.mark.rule("CL1")
def test_help_loads_no_server() -> None:
    """What serving needs is imported when a server is started."""
    heavy = {"asyncio", "fastapi", "joserfc", "pycrdt", "pydantic", "sqlalchemy", "structlog", "uvicorn"}
    program = (
        "import sys\nfrom cowrite.cli import main\nsys.argv = ['cowrite', '--help']\n"
        "try: main()\nexcept SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "serve" in answer.stdout
    assert heavy.isdisjoint(answer.stderr.split())


@pytest.mark.rule("CL1")
def test_help_answers_at_once() -> None:
    """In CPU time, which does not depend on what else the machine does."""
    before = time.process_time(), os.times().children_user + os.times().children_system
    subprocess.run([COWRITE, "--help"], capture_output=True, check=True)
    assert os.times().children_user + os.times().children_system - before[1] < 1.0


def test_version(run: Run) -> None:
    """The version is the package's."""
    code, out, _ = run("--version")
    assert code == 0
    assert re.fullmatch(r"cowrite \d+\.\d+\.\d+\n", out)


@pytest.mark.rule("CL3")
def test_wrong_setting_is_a_line() -> None:
    """From outside: a line on stderr, nothing on stdout, exit code 2."""
    code, out, err = serve("--port", "abc", COWRITE_LOG_LEVEL="loud")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "cowrite: --port is abc; it takes a whole number from 0 to 65535",
        "cowrite: COWRITE_LOG_LEVEL is loud; it takes debug, info, warning or error",
    ]


@pytest.mark.rule("CL5")
def test_unknown_name_is_a_warning(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning comes, and then whatever comes without it."""
    monkeypatch.setenv("COWRITE_PROT", "1")
    code, _, err = run("serve")
    assert code == 2
    warning, refusal = err.splitlines()
    assert warning == "cowrite: warning: COWRITE_PROT is no setting and is ignored; did you mean COWRITE_PORT?"
    assert "no secret is set" in refusal


@pytest.mark.rule("CL6")
def test_what_this_release_cannot_do_is_refused(run: Run) -> None:
    """A Redis URL must be one, and the number of workers has an end."""
    code, _, err = run("serve", "--demo", "--redis-url", "localhost:6379", "--workers", "400")
    assert code == 2
    starts = [re.split("[,:]", line.removeprefix("cowrite: "))[0] for line in err.splitlines()]
    assert starts == ["--redis-url is no URL that can be used", "--workers is 400; it takes a whole number from 1 to 256"]


@pytest.mark.rule("CL7")
@pytest.mark.parametrize("command", [("serve",), ("token", "--sub", "a", "--document", "*", "--grant", "read")])
def test_without_a_secret(command: tuple[str, ...], run: Run) -> None:
    """The refusal holds the command that helps, and the command helps."""
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    before, after = err.split(":  ")
    assert before == "cowrite: no secret is set; make one and keep it"
    subprocess.run(after, shell=True, check=True)
    assert len(load_settings().keys) == 1


@pytest.mark.rule("CL8")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_demo_listens_on_this_machine_only(host: str, run: Run) -> None:
    """Nobody opens the demo to others by mistake."""
    code, _, err = run("serve", "--demo", "--host", host)
    assert (code, err.count("\n")) == (2, 1)
    assert f"host {host} can be reached from other machines" in err


@pytest.mark.rule("CL8")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_demo_takes_loopback(host: str) -> None:
    """Every form of this machine's own address will do."""
    require_loopback(host)


@pytest.mark.rule("CL9")
@pytest.mark.usefixtures("logging_as_before")
def test_taken_port(run: Run) -> None:
    """The line names the port, and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, out, err = run("serve", "--demo", "--port", str(port))
    assert (code, out) == (2, "")
    assert err == f"cowrite: port {port} of 127.0.0.1 is taken by another program; choose another with --port or COWRITE_PORT\n"


@pytest.mark.rule("CL9")
@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("192.0.2.1", "host 192.0.2.1 is no address of this machine"),
        ("no-such-host.invalid", "host no-such-host.invalid is not known"),
        ("a..b", "host a..b is not known"),
    ],
)
def test_host_of_another_machine(host: str, says: str) -> None:
    """A host that cannot be listened on is told apart from a port that is taken."""
    with pytest.raises(StartError, match=re.escape(says)):
        listen(host, 0)


@pytest.mark.rule("CL9")
@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("under", ["file/data", "file", "/proc/cowrite"])
def test_unusable_data_folder(under: str, folder: Path, run: Run) -> None:
    """A folder that cannot be made or written gives its full name and the reason."""
    (folder / "file").write_text("")
    code, out, err = run("serve", "--demo", "--data-dir", under)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"cowrite: the data folder {folder / under} cannot be used: ")


@pytest.mark.rule("CL10")
def test_data_folder_is_created(folder: Path) -> None:
    """With all folders above it; one that is there stays as it is."""
    prepare_folder(folder / "a" / "b")
    assert (folder / "a" / "b").stat().st_mode & 0o777 == 0o700
    (folder / "a" / "b" / "kept").write_text("")
    prepare_folder(folder / "a" / "b")
    assert [path.name for path in (folder / "a" / "b").iterdir()] == ["kept"]


def test_one_free_port_for_all_addresses() -> None:
    """Port 0 is the same free port on each address that the host stands for, and each takes connections."""
    opened = listen("localhost", 0)
    assert len({one.getsockname()[1] for one in opened}) == 1
    for one in opened:
        socket.create_connection(one.getsockname()[:2]).close()
        one.close()


@pytest.mark.parametrize("command", [(), ("serve",), ("token",)])
def test_the_help_calls_flags_by_what_they_take(command: tuple[str, ...], run: Run) -> None:
    """A plain flag takes nothing, and what an option takes has a name for people, not a type."""
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert re.findall(r"<\w+.*>", out) == []


@pytest.mark.rule("CL11")
def test_secret(run: Run) -> None:
    """A secret is fresh each time, and one that the settings take."""
    secrets = {run("secret")[1].strip() for _ in range(2)}
    assert len(secrets) == 2
    for secret in secrets:
        assert len(parse_secrets(secret)) == 1


@pytest.mark.rule("CL12")
def test_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is made with the first key and says what it was told to."""
    secret = f"{run('secret')[1].strip()},{run('secret')[1].strip()}"
    monkeypatch.setenv("COWRITE_SECRET", secret)
    code, out, err = run(
        "token", "--sub", "ana", "--name", "Ana", "--document", "doc_*", "--document", "x", "--grant", "write", "--ttl", "2h"
    )
    assert (code, err) == (0, "")
    claims = verify(out.strip(), parse_secrets(secret)[:1], int(time.time() * 1000))
    assert (claims.sub, claims.name, claims.exp - claims.iat) == ("ana", "Ana", 7200)
    assert claims.documents == {"doc_*": "write", "x": "write"}


@pytest.mark.rule("CL12", "TO20")
def test_token_for_a_single_use(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``--once`` the token opens one session only."""
    secret = run("secret")[1].strip()
    monkeypatch.setenv("COWRITE_SECRET", secret)
    for flags, once in (((), False), (("--once",), True)):
        _, out, _ = run("token", "--sub", "ana", "--document", "x", "--grant", "read", *flags)
        assert verify(out.strip(), parse_secrets(secret), int(time.time() * 1000)).single_use is once


@pytest.mark.rule("CL12")
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"--grant": "own"}, "cowrite: --grant is own; it takes one of read, comment, write, admin\n"),
        ({"--sub": ""}, "cowrite: no token was made: sub is not a text of 1 to 255 characters\n"),
        ({"--ttl": "soon"}, "cowrite: --ttl is soon; it takes a whole number with s, m, h or d behind it, such as 30m\n"),
        ({"--ttl": "0s"}, "cowrite: --ttl is 0s; it takes more than nothing and at most 366d\n"),
        ({"--ttl": "9999999d"}, "cowrite: --ttl is 9999999d; it takes more than nothing and at most 366d\n"),
    ],
)
def test_wrong_token_arguments(changed: dict[str, str], says: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what is wrong."""
    monkeypatch.setenv("COWRITE_SECRET", run("secret")[1].strip())
    arguments = {"--sub": "ana", "--document": "*", "--grant": "read"} | changed
    assert run("token", *(word for pair in arguments.items() for word in pair)) == (2, "", says)


@pytest.mark.rule("CL13")
def test_each_setting_has_a_flag(run: Run) -> None:
    """The flags are the settings, but for the secrets, as everybody on the machine can read flags, and the limits."""
    _, out, _ = run("serve", "--help")
    flags = set(re.findall(r"--([a-z-]+)", out)) - {"demo", "help"}
    assert flags == {
        name.replace("_", "-")
        for name in Settings.model_fields
        if name not in {"secret", "jwt_secret"} and not is_limit(name) and not name.startswith("webhook_")
    }
