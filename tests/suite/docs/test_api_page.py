"""docs/api.md says what the package has; `python tests/suite/docs/test_api_page.py` writes it."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import unstale
from unstale import Project

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "api.md"
INVOCATIONS = sorted((ROOT / "tasks" / "unstale" / "invocations").glob("*.py"))


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0].replace("|", "\\|")


def _names() -> Iterator[str]:
    yield "| name | what |\n|---|---|"
    for name in unstale.__all__:
        thing = getattr(unstale, name)
        told = {
            "Verdict": "Fresh, Stale, Missing, Unknown or NotAsked.",
            "ns": "The tasks, as a collection of Invoke: [beside your own](invoke.md).",
        }
        yield f"| `{name}` | {told.get(name) or _first_line(thing)} |"


def _public() -> Iterator[tuple[str, Any]]:
    for name, member in vars(Project).items():
        if not name.startswith("_") and isinstance(
            inspect.unwrap(getattr(member, "__func__", member)), property | type(_first_line)
        ):
            yield name, member


def _call(name: str, member: Any) -> str:
    if isinstance(member, property):
        return name
    signature = inspect.signature(getattr(Project, name))
    words = []
    for one in list(signature.parameters.values())[0 if isinstance(member, classmethod) else 1 :]:
        if one.kind is one.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(one.name + ("" if one.default is one.empty else "="))
    given = str(signature.return_annotation).strip("'")
    return f"{name}({', '.join(words)}) -> {given}".replace("|", "\\|")


def _project() -> Iterator[str]:
    yield "| method | what |\n|---|---|"
    for name, member in _public():
        thing = member.fget if isinstance(member, property) else getattr(Project, name)
        yield f"| `{_call(name, member)}` | {_first_line(thing)} |"


def _written() -> str:
    text = PAGE.read_text(encoding="utf-8")
    for mark, rows in (("names", _names()), ("project", _project())):
        body = f"<!-- {mark} -->\n" + "\n".join(rows) + f"\n<!-- /{mark} -->"
        text = re.sub(
            rf"<!-- {mark} -->.*<!-- /{mark} -->", lambda _, b=body: b, text, flags=re.DOTALL
        )
    return text


def test_the_page_names_all_that_is_public() -> None:
    assert PAGE.read_text(encoding="utf-8") == _written(), (
        f"run: python {Path(__file__).relative_to(ROOT)}"
    )


def test_what_is_public_says_what_it_does() -> None:
    members = [getattr(Project, name) for name, _ in _public()]

    assert [one for one in members if not (inspect.getdoc(one) or "").strip()] == []


def test_all_is_what_is_exported() -> None:
    source = ast.parse(Path(unstale.__file__).read_text(encoding="utf-8"))
    checked = next(one for one in source.body if isinstance(one, ast.If))
    typed = [a.asname or a.name for one in checked.body for a in getattr(one, "names", ())]

    assert sorted(typed) == sorted(unstale.__all__) == dir(unstale)


def test_tasks_use_what_is_public_alone() -> None:
    public = {name for name, _ in _public()} | {*Project.__dataclass_fields__}
    used = {
        (path.name, node.attr)
        for path in INVOCATIONS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "project"
    }

    assert len(used) > 30
    assert [(path, name) for path, name in sorted(used) if name not in public] == []


def test_no_task_reaches_for_the_outside_itself() -> None:
    reached = {
        (path.name, node.module)
        for path in INVOCATIONS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unstale.adapters")
    }

    # Whose handlers are there before a project is opened.
    assert reached == {("boundary.py", "unstale.adapters.signals")}


def test_the_example_is_typed(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "example.py").write_text(f"{example[1]}\nreveal_type(Project.open().db_tables())\n")

    checked = subprocess.run(
        (sys.executable, "-m", "mypy", "--strict", "--config-file=", "example.py"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout
    assert '"tuple[tuple[str, int], ...]"' in checked.stdout  # and not Any
    assert "Success" in checked.stdout


def test_the_wheel_says_that_it_is_typed(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    (wheel,) = tmp_path.glob("*.whl")
    assert "unstale/py.typed" in zipfile.ZipFile(wheel).namelist()


if __name__ == "__main__":
    PAGE.write_text(_written(), encoding="utf-8")
