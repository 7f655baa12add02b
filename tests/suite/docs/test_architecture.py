"""docs/architecture.md draws the package as it is: its layers, and every module."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "tasks/unstale"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def named() -> set[str]:
    """Modules that a row has; in a cell the folder is written once, before its first file."""
    found: set[str] = set()
    for cell in re.findall(r"^\| ([^|]+) \|", PAGE, re.MULTILINE):
        folder = ""
        for path in re.findall(r"`([\w/]+\.py)`", cell):
            folder = path.rpartition("/")[0] or folder
            found.add(path if "/" in path else f"{folder}/{path}".lstrip("/"))
    return found


def test_every_module_has_its_row_and_no_row_is_of_none() -> None:
    modules = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    passed_over = {one for one in modules if one.endswith(("__init__.py", "__main__.py"))}

    assert modules - passed_over - named() == set()
    assert named() - modules == set()


def test_the_layers_are_those_that_are_enforced() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    drawn = re.search(r"## Layers\n.*?```text\n(.*?)```", PAGE, re.DOTALL)
    assert drawn is not None

    enforced = [layer.replace("unstale.", "") for layer in contract["layers"]]
    assert [re.split(r" {2,}", line)[0] for line in drawn[1].splitlines()] == enforced
