"""A diff the other way round: what leads back from a later moment to an earlier one."""

from __future__ import annotations

from cowrite.crdt.values import Json

_TURNED = {"insert": "delete", "delete": "insert"}


def reversed_diff(tree: Json) -> Json:
    """Return a diff (see :mod:`cowrite.crdt.history.diff`) with its sides swapped.

    What came goes, and what went comes back. Authors, times and offsets stay those of the changes that are taken back.
    """
    return {"roots": [_node(root) for root in tree["roots"]]}


def _node(node: Json) -> Json:
    turned = _change(node)
    if "attribute_changes" in node:
        turned["attributes"], turned["attribute_changes"] = _attributes(node)
    for name in ("runs", "items"):
        if name in node:
            turned[name] = [_part(part) for part in node[name]]
    if "children" in node:
        turned["children"] = [_node(child) for child in node["children"]]
    if "entries" in node:
        turned["entries"] = {key: _part(entry) for key, entry in node["entries"].items()}
    return turned


def _part(part: Json) -> Json:
    turned = _change(part)
    if "node" in part:
        turned["node"] = _node(part["node"])
    if part["change"] == "format":
        turned["attributes"], turned["before"] = part["before"], part["attributes"]
    elif part["change"] == "replace":
        turned["value"], turned["before"] = part["before"], part["value"]
    return turned


def _change(part: Json) -> Json:
    turned = dict(part)
    if "change" in part:
        turned["change"] = _TURNED.get(part["change"], part["change"])
    return turned


def _attributes(node: Json) -> tuple[Json, Json]:
    attributes = dict(node["attributes"])
    changes = {}
    for name, change in node["attribute_changes"].items():
        changes[name] = turned = {key: value for key, value in change.items() if key not in ("before", "after")}
        attributes.pop(name, None)
        if "before" in change:
            turned["after"] = attributes[name] = change["before"]
        if "after" in change:
            turned["before"] = change["after"]
    return dict(sorted(attributes.items())), changes
