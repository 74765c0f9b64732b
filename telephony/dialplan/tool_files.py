"""Is there a function `package.module:name`? Looked up in the source.

Imports nothing of the user's: a module's own import may take seconds, or need a key. What a module makes of itself at
run time (`from x import *`, `__getattr__`) is taken on trust. Reads files; driven by check.py."""

from __future__ import annotations

import ast
import sys
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from telephony.dialplan.document import nearest


def missing(tool: str) -> str:
    """What is wrong with the name of a tool or class, "" if it is there."""
    module, _, name = tool.partition(":")
    spec = _spec(module)
    if spec is None:
        return f"tool {tool!r}: there is no module {module}. Fix the name, or put it on PYTHONPATH."
    if spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    try:
        stamp = Path(spec.origin).stat().st_mtime_ns
    except OSError:
        return ""
    names = _names(spec.origin, stamp)
    if names is None or name in names:
        return ""
    known = [known for known in names if not known.startswith("_")]
    return f"tool {tool!r}: {module} has no {name!r}.{nearest(name, known)} See {spec.origin}."


def _spec(module: str) -> ModuleSpec | None:
    """Where a module is, without importing its packages."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    for at, name in enumerate(module.split(".")):
        # By its last name only: of `a.b` without an __init__.py the finder would want `a` imported.
        spec = PathFinder.find_spec(name, path)
        if spec is None and at == 0:
            spec = _found_otherwise(name)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or ())
    return spec


def _found_otherwise(name: str) -> ModuleSpec | None:
    """Built in, or installed by a hook of its own."""
    for finder in sys.meta_path:
        if finder is not PathFinder and (spec := finder.find_spec(name, None)) is not None:
            return spec
    return None


@lru_cache(maxsize=256)
def _names(path: str, stamp: int) -> frozenset[str] | None:
    """What a module defines at its top; None if it cannot be said. stamp: its modification, for the cache."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name == "__getattr__":
                return None
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            if any(alias.name == "*" for alias in node.names):
                return None
            found.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return frozenset(found)
