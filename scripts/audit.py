"""Look for published vulnerabilities of what is locked. `make audit` runs it.

    python scripts/audit.py

What cannot be asked (no network, a mirror without advisories) is told as "not checked" with the reason, and is no failure
unless STRICT=1 is in the environment. Each service is first asked about an old package with known vulnerabilities: one that
knows nothing of those would call everything sound. The exit code is 1 when something was found.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCKS: Final = ("run.txt", "test.txt")
CLIENTS: Final = ("js", "web")
_PATIENCE: Final = 300
_OLD_PYTHON: Final = "jinja2==2.4.1\n"
_OLD_NPM: Final = ("lodash", "4.17.15")


class NotChecked(Exception):
    """Nothing is known, for the reason that the text tells."""


def audit_python(lock: Path) -> list[str]:
    """The findings in a lock file, a line each. Raises :class:`NotChecked`."""
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old.txt"
        old.write_text(_OLD_PYTHON)
        if not _pip_audit(old):
            raise NotChecked("the service knows no vulnerabilities, not even of a package that has many")
    return _pip_audit(lock)


def _pip_audit(requirements: Path) -> list[str]:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--disable-pip", "--no-deps"]
    told = _json_of([*command, "--format", "json", "--progress-spinner", "off"])
    found = []
    for package in told["dependencies"]:
        if reason := package.get("skip_reason"):
            raise NotChecked(f"{package['name']}: {reason}")
        found += [f"{package['name']} {package['version']}: {one['id']}" for one in package["vulns"]]
    return found


def audit_npm(client: Path) -> list[str]:
    """The findings in an npm lock file, a line each. Raises :class:`NotChecked`."""
    name, version = _OLD_NPM
    with tempfile.TemporaryDirectory() as folder:
        own = {"name": "old", "version": "1.0.0", "dependencies": {name: version}}
        packages = {"": own, f"node_modules/{name}": {"version": version}}
        (Path(folder) / "package.json").write_text(json.dumps(own))
        lock = own | {"lockfileVersion": 3, "packages": packages}
        (Path(folder) / "package-lock.json").write_text(json.dumps(lock))
        if not _npm_audit(Path(folder)):
            raise NotChecked("the registry knows no vulnerabilities, not even of a package that has some")
    return _npm_audit(client)


def _npm_audit(folder: Path) -> list[str]:
    told = _json_of(["npm", "--prefix", str(folder), "audit", "--json"])
    if "vulnerabilities" not in told:
        raise NotChecked(str(told.get("message") or told.get("error") or told)[:300])
    return [f"{name}: {one['severity']}, {one['range']}" for name, one in told["vulnerabilities"].items()]


def _json_of(command: list[str]) -> Any:
    """What a command prints. Both end with 1 when they have found something, and print nothing to be read when they fail."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        return json.loads(done.stdout)
    except FileNotFoundError:
        raise NotChecked(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise NotChecked(f"no answer within {_PATIENCE} s") from None
    except ValueError:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise NotChecked(lines[-1][:300] if lines else f"{command[0]} printed nothing") from None


def report(name: str, audit: Callable[[], list[str]]) -> bool | None:
    """Print what an audit finds. True: nothing; False: something; None: it could not be asked."""
    try:
        found = audit()
    except NotChecked as reason:
        print(f"{name}: not checked: {reason}")
        return None
    print(f"{name}: {len(found)} known vulnerabilities" if found else f"{name}: no known vulnerabilities")
    for line in found:
        print(f"    {line}")
    return not found


def main() -> int:
    """Audit everything that is locked, and give the exit code."""
    locks = [ROOT / "requirements" / name for name in LOCKS]
    clients = [ROOT / "clients" / name for name in CLIENTS]
    results = [report(f"requirements/{lock.name}", partial(audit_python, lock)) for lock in locks]
    results += [report(f"clients/{client.name}", partial(audit_npm, client)) for client in clients]
    unasked = results.count(None)
    if unasked:
        checked = len(results) - unasked
        print(
            f"{checked or 'NOTHING'} of {len(results)} could be checked; nothing is known of what was not (STRICT=1: a failure)"
        )
    return 1 if False in results or (unasked and os.environ.get("STRICT") == "1") else 0


if __name__ == "__main__":
    sys.exit(main())
