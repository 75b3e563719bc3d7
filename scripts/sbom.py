"""What a cowrite server is made of: its bill of materials, as CycloneDX JSON. `make sbom` writes it into build/.

    python scripts/sbom.py [file]

The versions are those of the lock files, the licences those of the installed packages and of the npm lock file. What is told
depends on nothing else: the same lock files give the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
OUTPUT: Final = ROOT / "build" / "cowrite.cdx.json"
_NAMESPACE: Final = uuid.UUID("0b0a2e0e-9c34-5d0b-8f0e-6a4c6e1f7b52")
_BY_CLASSIFIER: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
_BY_WORDS: Final = {
    "ISC License": "ISC",
    "MIT License": "MIT",
    "MIT": "MIT",
    "BSD-3-Clause": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "MPL-2.0": "MPL-2.0",
}
_MIT_TEXT: Final = "Permission is hereby granted, free of charge, to any person obtaining a copy"


@dataclass(frozen=True, slots=True)
class Part:
    """One package, of Python or of npm."""

    ecosystem: str
    name: str
    version: str
    licence: str | None
    """An SPDX expression; None: its metadata say nothing that can be read."""
    optional: bool = False

    @property
    def purl(self) -> str:
        """The address of the package in the words of package URLs."""
        return f"pkg:{self.ecosystem}/{self.name.replace('@', '%40')}@{self.version}"


def python_parts() -> list[Part]:
    """What the server imports, and what that imports; the extras' drivers are optional."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = _closure(project["dependencies"])
    extras = _closure([line for lines in project["optional-dependencies"].values() for line in lines]) - needed
    locked = _locked("run.txt") | {name: version for name, version in _locked("test.txt").items() if name in extras}
    return [Part("pypi", name, locked[name], licence_of(name), name in extras) for name in sorted(needed | extras)]


def npm_parts() -> list[Part]:
    """What may be in the built page: everything that is not only for building and testing. The client brings nothing."""
    parts = []
    for client in ("js", "web"):
        lock = json.loads((ROOT / "clients" / client / "package-lock.json").read_text())
        for place, entry in sorted(lock["packages"].items()):
            if place and not entry.get("dev") and not entry.get("link"):
                parts.append(Part("npm", place.rpartition("node_modules/")[2], entry["version"], entry.get("license")))
    return parts


def licence_of(name: str) -> str | None:
    """The licence of an installed package, as an SPDX expression; None when its metadata do not say."""
    found = importlib.metadata.metadata(name)
    if expressions := found.get_all("License-Expression"):
        return str(expressions[0])
    classifiers = [line.rpartition(" :: ")[2] for line in found.get_all("Classifier") or () if line.startswith("License ::")]
    if known := sorted({_BY_CLASSIFIER[one] for one in classifiers if one in _BY_CLASSIFIER}):
        return " OR ".join(known)
    if words := [_BY_WORDS[one] for one in found.get_all("License") or () if one in _BY_WORDS]:
        return words[0]
    texts = (file.read_text() for file in importlib.metadata.files(name) or () if "LICEN" in file.name.upper())
    return "MIT" if any(_MIT_TEXT in re.sub(r"\s+", " ", text) for text in texts) else None


def bill(parts: Iterable[Part]) -> dict[str, Any]:
    """The bill of materials of these parts."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    components = [_component(part) for part in parts]
    told = json.dumps(components, sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, told)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "cowrite",
                "name": "cowrite",
                "version": version,
                "purl": f"pkg:pypi/cowrite@{version}",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
    }


def _component(part: Part) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
        "scope": "optional" if part.optional else "required",
    }
    if part.licence is not None:
        found["licenses"] = [{"expression": part.licence}]
    return found


def _closure(requirements: Iterable[str]) -> set[str]:
    """The packages that these requirements mean on this machine, with what they need themselves."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            inner = Requirement(line)
            if canonicalize_name(inner.name) not in found and _wanted(inner, requirement.extras):
                waiting.append(Requirement(line.partition(";")[0]))
    return found


def _wanted(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, re.MULTILINE))


def main(arguments: list[str]) -> int:
    """Write the bill, and say where."""
    output = Path(arguments[0]) if arguments else OUTPUT
    parts = [*python_parts(), *npm_parts()]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(bill(parts), indent=2) + "\n")
    print(f"{output}: {len(parts)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
