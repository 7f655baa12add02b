"""Migrations by their files: read, never imported. Standard library only."""

from __future__ import annotations

import ast
import configparser
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Made", "base", "configuration", "folders", "heads", "is_migration", "made"]


def heads(ini: Path, root: Path) -> tuple[str, ...] | None:
    """The migrations that no other follows, sorted; None where no scripts are found.

    Only reads text: neither Alembic nor a migration is imported.
    """
    found = folders(ini, root)
    if not found:
        return None
    scripts = [_links(path) for folder in found for path in sorted(folder.rglob("*.py"))]
    followed = {down for _, downs in scripts for down in downs if isinstance(down, str)}
    return tuple(sorted({name for name, _ in scripts if name} - followed))


def folders(ini: Path, root: Path) -> tuple[Path, ...]:
    """The folders of migrations that *ini* names and that are there."""
    return tuple(f for f in _versions(ini, root) if os.path.isdir(f))  # noqa: PTH112 - a name too long


def configuration(root: Path, name: str, directory: str | None = None) -> Path | None:
    """The file *name* that in the image is in the working directory, wherever it is in *root*.

    There, in its folder *directory*, or in two levels of folders; None: it is nowhere.
    """
    named = [root, *([root / directory] if directory else [])]
    deeper = (f for pattern in ("*", "*/*") for f in sorted(root.glob(pattern)))
    for folder in (*named, *deeper):
        if not folder.name.startswith((".", "node_modules")) or folder == root:
            path = folder / name
            if os.path.isfile(path):  # noqa: PTH113 - a name too long is none, and no error
                return path
    return None


def base(ini: Path, root: Path) -> Path:
    """From where Alembic resolves what *ini* names: its folder, unless nothing is there."""
    return ini.parent if folders(ini, ini.parent) else root


def is_migration(script: Path) -> bool:
    """Whether *script* is one: it says what it is called."""
    return _links(script)[0] is not None


@dataclass(frozen=True, slots=True)
class Made:
    """What a migration says it makes, read and not run."""

    revision: str
    lines: Mapping[str, int]
    """Each table (``users``) and column (``users.age``) to the line that makes it."""


def made(text: bytes) -> Made | None:
    """What the migration *text* makes in ``upgrade``; None if it is none."""
    body = _parsed(text)
    name = dict(_constants(body)).get("revision")
    if not isinstance(name, str):
        return None
    up = (one for one in body if isinstance(one, ast.FunctionDef) and one.name == "upgrade")
    return Made(name, dict(pair for one in up for pair in _makes(one)))


def _makes(body: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(body):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="create_table"),
                args=[ast.Constant(value=str(table)), *columns],
            ):
                yield table, node.lineno
                for one in columns:
                    if column := _column(one):
                        yield f"{table}.{column}", one.lineno
            case ast.Call(
                func=ast.Attribute(attr="add_column"),
                args=[ast.Constant(value=str(table)), column_, *_],
            ):
                if column := _column(column_):
                    yield f"{table}.{column}", node.lineno
            case ast.Call(
                func=ast.Attribute(attr="rename_table"),
                args=[_, ast.Constant(value=str(table)), *_],
            ):
                yield table, node.lineno
            case _:
                continue


def _column(node: ast.expr) -> str:
    """The name of the column that *node* defines; empty if it defines none that can be read."""
    match node:
        case ast.Call(
            func=ast.Attribute(attr="Column") | ast.Name(id="Column"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return name
        case _:
            return ""


def _versions(ini: Path, root: Path) -> Iterator[Path]:
    """The folders of migrations that *ini* names."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(ini, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return
    location = parser.get("alembic", "script_location", fallback="").strip()
    named = parser.get("alembic", "version_locations", fallback="").strip()
    if not location:
        return
    for part in re.split(_separator(parser), named) if named else (f"{location}/versions",):
        if part.strip():
            yield _folder(part.strip(), ini, root)


def _separator(parser: configparser.RawConfigParser) -> str:
    """What parts the folders, as a pattern. Alembic's older releases say it in two ways."""
    older = parser.get("alembic", "version_path_separator", fallback="")
    word = parser.get("alembic", "path_separator", fallback=older).strip()
    by_name = {"": r"[\s,]+", "space": r"\s+", "newline": r"\n", "os": re.escape(os.pathsep)}
    return by_name.get(word, re.escape(word))


def _folder(text: str, ini: Path, root: Path) -> Path:
    path = text.replace("%(here)s", str(ini.parent))
    package, colon, inside = path.partition(":")
    # `package:folder` names a folder of an importable package.
    return root / (f"{package.replace('.', '/')}/{inside}" if colon else path)


def _links(script: Path) -> tuple[str | None, tuple[str, ...]]:
    """A migration's own name and the names of those it follows."""
    values = dict(_constants(_parsed(script.read_bytes())))
    name, downs = values.get("revision"), values.get("down_revision")
    followed = downs if isinstance(downs, (tuple, list)) else (downs,)
    return name if isinstance(name, str) else None, tuple(d for d in followed if d is not None)


def _parsed(text: bytes) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    # The last two: Python's parser went too deep.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _constants(body: list[ast.stmt]) -> Iterator[tuple[str, object]]:
    for statement in body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                try:
                    yield name, ast.literal_eval(value)
                # A set of lists; sums of a thousand terms.
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    continue
