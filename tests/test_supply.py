"""What others have made: under which licences it comes, and that the bill of materials has all of it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema_rs
import pytest
from license_expression import get_spdx_licensing  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = frozenset(
    (
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
    )
)
"""Licences under which others' code may be used without asking anything of whoever runs cowrite or builds on it."""
SCHEMAS = ("bom-1.6.SNAPSHOT.schema.json", "spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
LICENSING = get_spdx_licensing()


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sbom() -> Iterator[ModuleType]:
    yield script("sbom")
    del sys.modules["sbom"]


@pytest.fixture
def audit() -> Iterator[ModuleType]:
    yield script("audit")
    del sys.modules["audit"]


def is_allowed(expression: str) -> bool:
    """Whether some choice that the expression leaves is of allowed licences only."""
    parsed = LICENSING.parse(expression, validate=True)
    return any(
        {licence.key for licence in LICENSING.license_symbols(choice)} <= ALLOWED
        for choice in (parsed.args if isinstance(parsed, LICENSING.OR) else (parsed,))
    )


@pytest.mark.rule("SC1")
def test_licences_of_what_is_shipped(sbom: ModuleType) -> None:
    """Everything that a server or the page is made of says its licence, and it is one of the allowed ones."""
    parts = [*sbom.python_parts(), *sbom.npm_parts()]
    assert len(parts) > 80
    assert [part.purl for part in parts if part.licence is None] == []
    assert {part.purl: part.licence for part in parts if not is_allowed(part.licence)} == {}


@pytest.mark.rule("SC1")
def test_what_is_allowed() -> None:
    for expression in ("MIT", "MIT OR GPL-3.0-only", "Apache-2.0 AND BSD-2-Clause"):
        assert is_allowed(expression)
    for expression in ("GPL-3.0-only", "AGPL-3.0-only OR LGPL-3.0-only", "MIT AND GPL-2.0-only"):
        assert not is_allowed(expression)


@pytest.mark.rule("SC2")
def test_bill_of_materials(sbom: ModuleType, tmp_path: Path) -> None:
    """It is valid CycloneDX, the same each time, and has what is locked: of Python, and of npm for the page."""
    outputs = [tmp_path / "one.json", tmp_path / "other.json"]
    for output in outputs:
        assert sbom.main([str(output)]) == 0
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    bill = json.loads(outputs[0].read_text())
    folder = files("cyclonedx.schema") / "_res"
    schemas: list[dict[str, Any]] = [json.loads((folder / name).read_text()) for name in SCHEMAS]
    named = [(f"http://cyclonedx.org/schema/{name}", schema) for name, schema in zip(SCHEMAS, schemas, strict=True)]
    validator = jsonschema_rs.Draft7Validator(schemas[0], registry=jsonschema_rs.Registry(named))
    assert [error.message for error in validator.iter_errors(bill)] == []
    assert not validator.is_valid(bill | {"components": [{"name": "without a type"}]}), "the schema is looked at"
    purls = {component["purl"]: component["scope"] for component in bill["components"]}
    lock = (ROOT / "requirements" / "run.txt").read_text()
    for name in ("fastapi", "picows", "pycrdt", "sqlalchemy", "cryptography"):
        version = re.search(rf"^{name}==(\S+)", lock, re.MULTILINE)
        assert version is not None
        assert purls[f"pkg:pypi/{name}@{version[1]}"] == "required"
    assert [purl for purl, scope in purls.items() if scope == "optional" and "asyncpg" in purl]
    assert [purl for purl in purls if purl.startswith("pkg:npm/yjs@")]
    assert [purl for purl in purls if purl.startswith("pkg:npm/%40tiptap/core@")]
    assert not [purl for purl in purls if "vite" in purl or "pytest" in purl or "hatchling" in purl], (
        "what only builds and tests"
    )


@pytest.mark.rule("SC3")
def test_an_audit_that_nobody_answers(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It says what was not checked and why, and fails only where that is wanted."""
    monkeypatch.setenv("PATH", str(tmp_path))  # no npm
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert audit.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        f"requirements/run.txt: not checked: {tmp_path}/python is not installed",
        f"requirements/test.txt: not checked: {tmp_path}/python is not installed",
        "clients/js: not checked: npm is not installed",
        "clients/web: not checked: npm is not installed",
        "NOTHING of 4 could be checked; nothing is known of what was not (STRICT=1: a failure)",
    ]
    monkeypatch.setenv("STRICT", "1")
    assert audit.main() == 1


def answering(folder: Path, name: str, text: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


@pytest.mark.rule("SC3")
def test_what_an_audit_finds(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A finding fails; a service that knows nothing of an old package with many is no witness."""
    old = '"vulnerabilities": {"lodash": {"severity": "high", "range": "<4.17.21"}}'
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    known = '{"dependencies": [{"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "CVE-1"}]}]}'
    none = '{"dependencies": [{"name": "jinja2", "version": "2.4.1", "vulns": []}]}'
    answering(
        tmp_path, "npm", f"case $2 in *clients*) echo '{{\"vulnerabilities\": {{}}}}';; *) echo '{{{old}}}'; exit 1;; esac"
    )
    answering(tmp_path, "python", f"case $4 in */old.txt) echo '{known}'; exit 1;; *) echo '{none}';; esac")
    assert audit.main() == 0
    assert capsys.readouterr().out.count("no known vulnerabilities") == 4
    answering(tmp_path, "npm", "echo '{\"vulnerabilities\": {}}'")
    answering(tmp_path, "python", f"echo '{known}'; exit 1")
    assert audit.main() == 1
    out = capsys.readouterr().out
    assert out.count("    jinja2 2.4.1: CVE-1") == 2
    assert out.count("not checked: the registry knows no vulnerabilities, not even of a package that has some") == 2
