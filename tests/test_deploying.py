"""What is in deploy/: every setting, path, probe and metric in it is one of cowrite's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cowrite.http.metrics import METRICS
from cowrite.settings import Settings
from demo_server import DemoServer

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
METRIC = re.compile(r"\bcowrite_[a-z_]+")


def expressions(found: Any) -> Iterator[str]:
    """All queries of a dashboard or of rules."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name == "expr":
                yield value
            else:
                yield from expressions(value)
    elif isinstance(found, list):
        for value in found:
            yield from expressions(value)


@pytest.mark.rule("DE1")
def test_settings_that_are_named_are_settings() -> None:
    known = {f"COWRITE_{name.upper()}" for name in Settings.model_fields}
    named = {(path.name, name) for path in FILES for name in re.findall(r"COWRITE_[A-Z_]+", path.read_text())}
    assert {(path, name) for path, name in named if name not in known} == set()
    assert {"COWRITE_SECRET", "COWRITE_DATABASE_URL", "COWRITE_REDIS_URL"} <= {name for _, name in named}


@pytest.mark.rule("DE2")
def test_metrics_that_are_asked_for_are_told(tmp_path: Path) -> None:
    """A real server tells all but those of what it does not have: a broker, a database server, a supervisor, hooks."""
    dashboard = json.loads((DEPLOY / "grafana" / "cowrite.json").read_text())
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    asked = {name for expression in (*expressions(dashboard), *expressions(alerts)) for name in METRIC.findall(expression)}
    listed = {meaning.name for meaning in METRICS}
    assert asked - listed == set()
    assert {meaning.name for meaning in METRICS} - set(METRIC.findall(json.dumps(dashboard))) == set()
    with DemoServer(tmp_path) as server:
        told = set(METRIC.findall(httpx.get(f"{server.url}metrics").text))
        for path in ("readyz", "healthz", "metrics"):  # what probes and scrapes ask for
            assert httpx.get(f"{server.url}{path}").status_code == 200
    elsewhere = re.compile(r"cowrite_(broker_|database_pool_|worker_restarts_|hooks_|webhooks_|commit_seconds)")
    assert {name for name in asked - told if not elsewhere.match(name)} == set()


@pytest.mark.rule("DE1")
def test_labels_that_are_asked_for_are_told() -> None:
    used = {"instance", "worker"}
    labels = {label for meaning in METRICS if (label := getattr(meaning, "label", None))}
    alerts = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    assert set(re.findall(r"\$labels\.(\w+)", alerts)) <= used | labels


@pytest.mark.rule("DE1")
def test_compose() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert set(services) == {"cowrite", "migrate", "postgres", "valkey"}
    assert (DEPLOY / services["cowrite"]["build"]["context"] / services["cowrite"]["build"]["dockerfile"]).is_file()
    asked = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    given = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "example.env").read_text(), re.MULTILINE))
    assert asked == given
    seconds = int(services["cowrite"]["stop_grace_period"].removesuffix("s"))
    assert seconds >= Settings.model_fields["drain_seconds"].default + 30


@pytest.mark.rule("DE1")
def test_the_image_takes_what_it_copies() -> None:
    """The context holds what the Dockerfile copies, and nothing that it does not name."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.*)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        copied |= set(line.split()[:-1])
    assert kept == copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


@pytest.mark.rule("DE3")
def test_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd here")
    program = tmp_path / "cowrite"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = (DEPLOY / "systemd" / "cowrite.service").read_text()
    (tmp_path / "cowrite.service").write_text(unit.replace("/opt/cowrite/bin/cowrite", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "cowrite.service")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert float(re.findall(r"^TimeoutStopSec=(\d+)", unit, re.MULTILINE)[0]) >= 35
