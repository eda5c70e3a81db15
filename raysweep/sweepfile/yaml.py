"""Sweep files in YAML, read as people mean them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

# PyYAML and not ruamel.yaml: W&B reads its sweep files with it, so that `yes` is true and a merge merges in both.
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but 1e-5 is a number (YAML 1.1 wants a dot), `on` is a name, and no name stands twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """An object, with what it merges from others (`<<: *other`) and does not say itself."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        merges = [value for key, value in node.value if key.tag == f"{_TAG}merge"]
        own = [pair for pair in node.value if pair[0].tag != f"{_TAG}merge"]
        seen = set()
        for key, _ in own:
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"is not YAML: an unhashable key, a list or an object (line {_line(key)})")
            if key.tag == f"{_TAG}bool":
                key.tag = f"{_TAG}str"  # YAML 1.1 takes the names on, off, yes and no for true and false
            if key.value in seen:
                raise ValueError(f"the key {key.value!r} stands twice in one object (line {_line(key)})")
            seen.add(key.value)
        node.value = [pair for merge in merges for pair in _new(merge, seen)] + own
        return node


def _new(merge: yaml.Node, seen: set[str]) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Of objects that are merged, what is new; PyYAML 6.0.4 takes the older of two values where it merges twice."""
    for node in merge.value if isinstance(merge, yaml.SequenceNode) else [merge]:
        if not isinstance(node, yaml.MappingNode):
            raise ValueError(
                f"is not YAML: what is merged (<<) must be an object, or a list of objects (line {_line(node)})"
            )
        pairs = [pair for pair in node.value if pair[0].value not in seen]
        seen.update(pair[0].value for pair in pairs)
        yield from pairs


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


_Loader.add_implicit_resolver(f"{_TAG}float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789"))


def parse_yaml(text: str) -> Any:
    """The one document in `text`.

    Raises:
        ValueError: it is no YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML: {error}") from None
