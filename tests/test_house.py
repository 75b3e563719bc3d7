"""The house: what must hold for the files of the project, so that a fresh clone runs and tests anywhere."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
# Spelt with gaps, because this file is one of those that are searched.
REGISTRIES = ["python hosted.org", "py pi.org", "registry. npmjs", "registry. yarnpkg", "npm mirror", "crates .io"]
PLACES = ["/ root/", "/ work/", "/ Users/", "/ home/", "/ opt/py"]
ELSEWHERE = re.compile(r"(?<![\w.])(?:" + "|".join(re.escape(name.replace(" ", "")) for name in [*REGISTRIES, *PLACES]) + ")")


def committed_files() -> list[Path]:
    """What git tracks, and what it would track."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    paths = (ROOT / name for name in listing.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file()]


def modules() -> Iterator[Path]:
    return (path for path in committed_files() if path.suffix == ".py")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def relative(paths: Iterator[Path] | list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.rule("HO1")
def test_no_registry_and_no_place_of_a_machine() -> None:
    """The machine's settings say where packages come from; paths of one machine mean nothing on another."""
    found = {}
    for path in committed_files():
        match = ELSEWHERE.search(path.read_bytes().decode("utf-8", "replace"))
        if match:
            found[str(path.relative_to(ROOT))] = match[0]
    assert found == {}


@pytest.mark.rule("HO2")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_python_lock(lock: Path) -> None:
    """Every line is an exact version or a hash, and every version has hashes."""
    text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE)
    entry = re.compile(r"[a-z0-9-]+==\S+(?: ; [^\\\n]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n")
    assert entry.sub("", text) == ""


@pytest.mark.rule("HO2")
def test_node_locks() -> None:
    """Every package has its hash; where it comes from is not said."""
    locks = [path for path in committed_files() if path.name == "package-lock.json"]
    assert locks
    for lock in locks:
        packages = {
            name: entry for name, entry in json.loads(lock.read_text())["packages"].items() if name and not entry.get("link")
        }
        assert [name for name, entry in packages.items() if "resolved" in entry or not entry.get("integrity")] == []


@pytest.mark.rule("HO3")
def test_locks_have_what_the_project_asks_for() -> None:
    """Each requirement of pyproject.toml is met by the lock that is made from it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {
        "run.txt": [*project["project"]["dependencies"], *groups["build"]],
        "test.txt": [*project["project"]["dependencies"], *groups["build"], *groups["test"]],
        "image.txt": [
            *project["project"]["dependencies"],
            *groups["build"],
            *(line for extra in ("mysql", "postgres", "redis") for line in project["project"]["optional-dependencies"][extra]),
        ],
    } | {f"{name}.txt": groups[name] for name in ("audit", "fuzz", "node", "pip", "lock")}
    assert sorted(wanted) == [lock.name for lock in LOCKS]
    for lock in LOCKS:
        locked: dict[str, list[str]] = {}
        for name, version in re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE):
            locked.setdefault(name, []).append(version)
        asked: dict[str, list[Requirement]] = {}
        for requirement in map(Requirement, wanted[lock.name]):
            asked.setdefault(canonicalize_name(requirement.name), []).append(requirement)
        for name, requirements in asked.items():
            versions = locked.get(name, [])
            # There is more than one where older Pythons get an older version.
            for requirement in requirements:
                assert any(version in requirement.specifier for version in versions), (
                    f"{lock.name} lacks {requirement}: run `make lock`"
                )
            for version in versions:
                assert any(version in requirement.specifier for requirement in requirements), (
                    f"{lock.name} has {name} {version}"
                )


@pytest.mark.rule("HO3")
def test_test_lock_holds_the_run_lock() -> None:
    """The checks run with the versions that the server runs with."""
    run, image, test = (
        set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("run.txt", "image.txt", "test.txt")
    )
    assert run - test == set()
    assert image - test == set()


def library(module: str) -> str:
    """What a module is imported from; some libraries share a name."""
    sharing = {
        "opentelemetry.sdk": "opentelemetry-sdk",
        "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    }
    first, *rest = module.split(".")
    return sharing.get(".".join([first, *rest[:1]]), first)


@pytest.mark.rule("HO12")
def test_dependencies_are_what_is_imported() -> None:
    """Every library that the package imports is asked for by name, and every one that is asked for is used."""
    imported: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                imported |= {library(name.name) for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(library(node.module))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = itertools.chain.from_iterable(project["optional-dependencies"].values())
    asked = {canonicalize_name(Requirement(line).name) for line in (*project["dependencies"], *extras)}
    by_another_name = {"dotenv": "python-dotenv", "markdown_it": "markdown-it-py", "opentelemetry": "opentelemetry-api"}
    needed = {canonicalize_name(by_another_name.get(name, name)) for name in imported - sys.stdlib_module_names - {"cowrite"}}
    assert needed - asked == {"pytest"}  # the contract suites of cowrite.testing, for authors of adapters, who have it
    assert asked - needed == {"httptools"}  # uvicorn reads HTTP with it


@pytest.mark.rule("HO4")
def test_modules_are_short() -> None:
    """A module has at most 400 lines, one with tests 600."""
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in modules()}
    assert {str(path): count for path, count in lines.items() if count > (600 if path.parts[0] == "tests" else 400)} == {}


@pytest.mark.rule("HO5")
def test_modules_say_what_they_are() -> None:
    """Every module of the package begins with a docstring; an empty one that only makes a package needs none."""
    source = [path for path in modules() if path.is_relative_to(ROOT / "src") and path.read_text().strip()]
    assert relative([path for path in source if not ast.get_docstring(parsed(path))]) == []


@pytest.mark.rule("HO6")
def test_no_large_files() -> None:
    """No file has more than 1 MB: history keeps it for ever."""
    assert relative([path for path in committed_files() if path.stat().st_size > 1_000_000]) == []


@pytest.mark.rule("HO7")
def test_links_lead_somewhere() -> None:
    """A relative link of a page leads to a file of the project."""
    pages = [path for path in committed_files() if path.suffix == ".md" and not path.is_relative_to(ROOT / "src")]
    links = [(page, target) for page in pages for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)", page.read_text())]
    assert [f"{page.relative_to(ROOT)}: {target}" for page, target in links if not (page.parent / target).exists()] == []


def names_of_the_code() -> dict[str, set[str]]:
    """All names and words that stand in the package, under ""; the functions in the body of a class also under its name."""
    names: dict[str, set[str]] = {"": set()}
    for path in (ROOT / "src" / "cowrite").rglob("*.py"):
        names[""] |= {path.stem, path.parent.name}
        for node in ast.walk(parsed(path)):
            found = {value for field in ("name", "id", "attr", "arg") if isinstance(value := getattr(node, field, None), str)}
            names[""] |= found | ({node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set())
            if isinstance(node, ast.ClassDef):
                names[node.name] = {
                    child.name for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                }
    return names


@pytest.mark.rule("HO11")
def test_the_way_of_one_edit_is_in_the_code() -> None:
    """Files and names that docs/architecture.md tells of are there, and it tells of each package."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "src" / "cowrite"
    without_links = re.sub(r"\]\([^)]*\)", "]", text)
    files = set(re.findall(r"(?<![\w./])(?:(?:\w+/)*\w+\.(?:py|ts)\b|(?:\w+/)+(?![\w/]))", without_links))
    assert len(files) > 20
    places = (package, package / "core", ROOT)
    assert sorted(name for name in files if not any((place / name).exists() for place in places)) == []
    packages = {path.parent.name for path in package.glob("*/__init__.py")}
    assert sorted(name for name in packages if not re.search(rf"(?<![\w/]){name}/", text)) == []
    names = names_of_the_code()
    told = set(re.findall(r"`([A-Za-z_][\w.]*)(?:\([\w, .]*\))?`", text)) - files
    assert len(told) > 20
    owned = {name for name in told if name.split(".")[0] in names}
    assert sorted(name for name in told if name.split(".")[-1] not in names[""]) == []
    assert sorted(name for name in owned if "." in name and name.split(".")[1] not in names[name.split(".")[0]]) == []


@pytest.mark.rule("HO11")
def test_files_that_the_code_names_exist() -> None:
    """A test or a page of the project that a module of the package names is there."""
    named = {
        (path.relative_to(ROOT), name)
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"\btests/[\w/]+\.py|\b[A-Z]{3,}\.md\b|\bspec/[\w/]+\.\w+", path.read_text())
    }
    missing = [(str(path), name) for path, name in named if not any((ROOT / at / name).exists() for at in ("", "spec", "docs"))]
    assert named
    assert missing == []


@pytest.mark.rule("HO15")
@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reliability.md"])
def test_the_tests_that_pages_name_exist(page: str) -> None:
    """A name that was cut (``test_a_disk_…``) stands for one that is whole elsewhere on the page, or begins like it."""
    kept = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "src/cowrite/testing").rglob("*.py")]
    text = (ROOT / page).read_text()
    functions = {name for path in kept for name in re.findall(r"def (test_\w+)", path.read_text())}
    files = {path.stem for path in kept}
    named = set(re.findall(r"\b(test_\w+)(…?)", text))
    missing = {
        name
        for name, cut in named
        if not (any(one.startswith(name) for one in functions | files) if cut else name in functions | files)
    }
    assert missing == set()


@pytest.mark.rule("HO13")
def test_proofs_of_security_exist() -> None:
    """What SECURITY.md names as proof is there: rules of the specification, and files."""
    text = (ROOT / "SECURITY.md").read_text()
    rules = {
        rule
        for page in (ROOT / "spec" / "parts").glob("*.md")
        for rule in re.findall(r"\*\*([A-Z]{2}\d+)\*\*", page.read_text())
    }
    named = set(re.findall(r"\b[A-Z]{2}\d+\b", text))
    files = re.findall(r"`((?:tests|scripts)/[\w/.]+)`", text)
    assert len(named) > 20
    assert len(files) > 8
    assert named - rules == set()
    assert [name for name in files if not (ROOT / name).is_file()] == []


@pytest.mark.rule("HO8")
def test_make_help_has_every_target() -> None:
    """`make help` lists what can be made."""
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r"^  make (\S+)", listed, re.MULTILINE)) == sorted(set(phony[1].split()) - {"anew"})


def find_python(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the search with nothing but what is in ``path``."""
    return subprocess.run(
        ["/bin/sh", ROOT / "scripts" / "find-python.sh"],
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.rule("HO9")
def test_python_is_found(tmp_path: Path) -> None:
    """The first that really runs is taken, and the one that the caller names before all."""
    program(tmp_path / "python3.13", "echo 'not installed' >&2; exit 127")
    program(tmp_path / "python3.12", "exit 1")  # too old: the version's test fails
    program(tmp_path / "python3", f'exec {sys.executable} "$@"')
    assert find_python(tmp_path).stdout == f"{tmp_path}/python3\n"
    assert find_python(tmp_path, PYTHON=sys.executable).stdout == f"{sys.executable}\n"


@pytest.mark.rule("HO9")
def test_no_python(tmp_path: Path) -> None:
    """Without a Python the message says which are needed."""
    answer = find_python(tmp_path)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "no Python 3.11 or newer found" in answer.stderr


@pytest.mark.rule("HO9")
def test_python_without_venv(tmp_path: Path) -> None:
    """Where Debian has split venv off, the message names the package."""
    program(tmp_path / "python3", 'case "$2" in *venv*) exit 1;; *) exit 0;; esac')
    answer = find_python(tmp_path)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "python3 is installed without its venv module" in answer.stderr
    assert "apt install python3-venv" in answer.stderr


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``scripts/check.py`` with steps of its own."""
    spec = importlib.util.spec_from_file_location("check", ROOT / "scripts" / "check.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "STEPS", {"good": ("true",), "bad": ("false", "echo not-reached"), "last": ("echo reached",)})
    monkeypatch.setattr(module, "BUDGETS", {"most": (frozenset({"good", "bad"}), 20), "none": (frozenset({"last"}), 0)})
    return module


@pytest.mark.rule("HO10")
def test_checks_go_on_after_a_failure(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A failing step is named with its time, the steps after it run, the budgets are shown, and the exit code is 1."""
    assert check.main([]) == 1
    out = capfd.readouterr().out
    assert "\nreached\n" in out
    assert "\nnot-reached\n" not in out
    steps = r"\ngood +ok +\d+\.\d s\nbad +FAILED +\d+\.\d s\nlast +ok +\d+\.\d s"
    assert re.search(steps + r"\nmost +\d\.\d s of 20\nnone +SLOW +\d\.\d s of 0\nall +\d+\.\d s of 20\n\Z", out)
    monkeypatch.setattr(check, "BUDGETS", {"most": (frozenset({"good", "bad"}), -1)})
    assert check.main([]) == 1
    assert re.search(r"\nmost +SLOW +.*\nall +SLOW +\d+\.\d s of -1\n\Z", capfd.readouterr().out)
    assert check.main(["last", "good"]) == 0
    assert re.search(r"\nlast .*\ngood .*\nall .*\n\Z", capfd.readouterr().out)


@pytest.mark.rule("HO10")
def test_unknown_step(check: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    """A step that is not there is no success."""
    assert check.main(["lnit"]) == 2
    assert "no step is called lnit; there are good, bad, last" in capfd.readouterr().err
