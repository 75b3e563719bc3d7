"""A diff as plain text, for terminals: what came in ``{+…+}``, what went in ``[-…-]``, as git writes it word by word."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_MARKS: Final = {"insert": ("{+", "+}", "\x1b[32m"), "delete": ("[-", "-]", "\x1b[31m"), "format": ("{~", "~}", "\x1b[33m")}
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_AROUND: Final = 40
"""Characters of what stayed that are told on each side of a change."""
_END: Final = "\x1b[0m"


def diff_to_text(roots: list[Mapping[str, Any]], *, colours: bool = False) -> str:
    """Write the roots of a diff (see :mod:`cowrite.crdt.history.diff`): each that has changed, with its changes and their
    authors. What stayed is cut down to what stands around them.
    """
    told = [f"root {root['name']!r}:\n{_Writer(colours).node(root)}" for root in roots if root["changed"]]
    return "\n".join(told) if told else "nothing has changed"


def harmless(text: str) -> str:
    """Text that others wrote, for a terminal: what it would take for a command is written as an escape."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


class _Writer:
    def __init__(self, colours: bool) -> None:
        self._colours = colours

    def node(self, node: Mapping[str, Any]) -> str:
        lines = ["".join(self._runs(node["runs"]))] if "runs" in node else []
        lines += [self._marked(item, self._value(item)) for item in node.get("items", ())]
        lines += [f"{harmless(key)}: {self._entry(entry)}" for key, entry in node.get("entries", {}).items()]
        lines += [self._child(child) for child in node.get("children", ())]
        lines += [f"{harmless(name)}: {self._attribute(change)}" for name, change in node.get("attribute_changes", {}).items()]
        return "\n".join(line for line in lines if line)

    def _runs(self, runs: list[Mapping[str, Any]]) -> Iterator[str]:
        for number, run in enumerate(runs):
            text = harmless(run["text"]) if "text" in run else self._value(run)
            if run["change"] == "equal":
                yield _cut(text, first=number == 0, last=number == len(runs) - 1)
            else:
                yield self._marked(run, f"{text}{_formats(run)}")

    def _child(self, child: Mapping[str, Any]) -> str:
        inner = self.node(child)
        if child["change"] == "equal":
            return inner if _has_changes(child) else ""
        tag = harmless(child.get("tag") or child["kind"])
        return self._marked(child, f"<{tag}> {inner}".rstrip())

    def _entry(self, entry: Mapping[str, Any]) -> str:
        if entry["change"] == "replace":
            gone = self._marked({**entry, "change": "delete"}, _json(entry["before"]))
            return gone + self._marked({**entry, "change": "insert"}, self._value(entry))
        return self._marked(entry, self._value(entry))

    def _attribute(self, change: Mapping[str, Any]) -> str:
        sides = (("delete", "before"), ("insert", "after"))
        return "".join(self._marked({**change, "change": what}, _json(change[side])) for what, side in sides if side in change)

    def _value(self, part: Mapping[str, Any]) -> str:
        if "node" in part:
            return self.node(part["node"])
        return ", ".join(_json(part[name]) for name in ("embed", "value", "values") if name in part)

    def _marked(self, part: Mapping[str, Any], text: str) -> str:
        marks = _MARKS.get(part["change"])
        if marks is None:
            return text
        before, after, colour = marks
        whose = f" ({harmless(part['author'])})" if part.get("author") is not None else ""
        marked = f"{before}{text}{after}{whose}"
        return f"{colour}{marked}{_END}" if self._colours else marked


def _formats(run: Mapping[str, Any]) -> str:
    """Which formats came and went; nothing where it is no formatting that has changed."""
    if run["change"] != "format":
        return ""
    before, after = run["before"], run["attributes"]
    gone = [f"-{harmless(name)}" for name in before if name not in after]
    came = [
        harmless(name) if value is True else f"{harmless(name)}={_json(value)}"
        for name, value in after.items()
        if name not in before or before[name] != value
    ]
    return " " + " ".join(gone + came)


def _has_changes(node: Mapping[str, Any]) -> bool:
    parts = [*node.get("runs", ()), *node.get("items", ()), *node.get("entries", {}).values(), *node.get("children", ())]
    return bool(node.get("attribute_changes")) or any(
        part["change"] != "equal" or _has_changes(part.get("node", part)) for part in parts
    )


def _cut(text: str, *, first: bool, last: bool) -> str:
    if len(text) <= 2 * _AROUND:
        return text
    head, tail = "" if first else text[:_AROUND], "" if last else text[-_AROUND:]
    return f"{head}…{tail}"


def _json(value: Any) -> str:
    return harmless(json.dumps(value, ensure_ascii=False))
