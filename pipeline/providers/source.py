"""The options of a provider, read from its source and not from the module: a list of providers must load no SDK.

Used by registry.describe. Knows classes with `__init__` and plain functions; what it cannot read it leaves out."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

LONGEST = 60  # letters of a default


@cache
def defaults(target: str) -> Mapping[str, str]:
    """Option → default as Python would write it. target: module:factory. {} if the source is not to be had."""
    module, _, name = target.partition(":")
    tree = _tree(module)
    if tree is None:
        return {}
    constants = dict(_constants(tree))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and any(a.name == name for a in node.names):
            return defaults(f"{node.module}:{name}")  # a package that shows what its modules make
        if isinstance(node, ast.ClassDef) and node.name == name:
            parts = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            makers = [part for part in parts if part.name == "__init__"]
            if not makers and node.bases and isinstance(base := node.bases[0], ast.Name):
                return defaults(f"{module}:{base.id}")
            return dict(_options(makers, constants))
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return dict(_options([node], constants))
    return {}


def _tree(module: str) -> ast.Module | None:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):  # its package is not installed, or has no spec
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    try:
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return None


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, ast.unparse(node.value)


def _options(makers: list[ast.FunctionDef], constants: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for maker in makers:
        known = maker.args
        with_default = [*known.posonlyargs, *known.args]
        with_default = with_default[len(with_default) - len(known.defaults) :]
        pairs: list[tuple[ast.arg, ast.expr | None]] = list(zip(with_default, known.defaults, strict=True))
        pairs += list(zip(known.kwonlyargs, known.kw_defaults, strict=True))
        for option, default in pairs:
            if default is not None:
                text = ast.unparse(default)
                yield option.arg, constants.get(text, text)[:LONGEST]
