"""`adopt`: what a Makefile or script becomes, and what is to be written. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unstale.config import load, parsed
from unstale.errors import ConfigError, MissingFile, UsageError, overlooked
from unstale.pipeline import own_files
from unstale.pipeline.setup import Change, Overlay
from unstale.ports import Files
from unstale.survey import tasksfile, written
from unstale.survey.adoption import Adoption, Unit, adoption, is_makefile
from unstale.survey.equivalents import Said
from unstale.survey.makefile import parse
from unstale.survey.neighbours import Obstacle, obstacles
from unstale.survey.tasksfile import TasksFile
from unstale.survey.thin import scattered, thin
from unstale.survey.written import Entry, Table

__all__ = ["Adopted", "plan"]

_PYPROJECT, _TASKS = "pyproject.toml", "tasks.py"
_KEYS = ("compose-files", "env-file", "runner", "database", "profiles")
_ASSIGNMENT = re.compile(
    r"""\b([A-Za-z_]\w*)[ \t]*[:?+]?=[ \t]*("[^"\n]*"|'[^'\n]*'|(?:\\.|[^\s;\\])+)"""
)
_MADE = re.compile(
    # So many and no more: each of a thousand would have the rest of the line read anew.
    r"(?:[^:=#\t]{0,400}:\s*)?(?:(?:export|override|private)\s+){0,4}"
    r"([A-Za-z_][\w.-]*)\s*[:?+!]{0,3}=\s*(.*)"
)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was found, and what comes of it."""

    adoption: Adoption
    changes: tuple[Change, ...]
    tasks: TasksFile
    """What to add to a tasks.py that is there."""
    missing: tuple[Said, ...]
    """What a [tool.unstale] that is there does not say, or says otherwise."""
    obstacles: tuple[Obstacle, ...]
    """What is in the way of tasks.py, or of what the file says."""
    scattered: tuple[tuple[Unit, int], ...] = ()
    """Targets that stay although they are understood, each with the line that is why."""
    spoken: tuple[tuple[str, str], ...] = field(repr=False, default=())
    """Variables with their values, and commands without a name: secrets may be in both."""


def plan(
    root: Path,
    files: Files,
    given: Path,
    ours: Sequence[str],
    environ: Mapping[str, str],
    *,
    with_makefile: bool,
) -> Adopted:
    """What becomes of the file *given*, below *root* or elsewhere; nothing of it is run.

    *ours* are the names at the top of our tasks. *with_makefile*: its targets are to call
    them.

    Raises:
        MissingFile: there is no such file.
        UsageError: it is to be changed and not of *root*, or a file leads out of that.
        ConfigError: it, or a file that is to be added to, can't be read or is too large.

    """
    path = _named(root, given)
    is_ours = not Path(path).is_absolute()
    text = own_files.text(root, files, path) if is_ours else own_files.text_at(files, given)
    if text is None:
        raise MissingFile(f"There is no file {given}.", hint="inv adopt Makefile")
    if with_makefile and not is_ours:
        raise UsageError(
            f"{given} is not of this project.",
            cause="--makefile changes it, and only the project's own files are written.",
            hint="leave --makefile out, or adopt it in the project that it is of",
        )
    called: list[str] = []

    def read(name: str) -> str:
        called.append(_below(root, files, name))
        return called[-1]

    found = adoption(path, text, read)
    changes, missing, notes = _configured(root, files, found, environ)
    made, advice = _tasks(root, files, ours)
    thins = with_makefile and is_makefile(path)
    if thins and (new := thin(text, found)) != text:
        changes = (*changes, Change(path, text, new))
    return Adopted(
        found,
        (*changes, *made),
        advice,
        missing,
        (
            *notes,
            *obstacles(own_files.text(root, files, _TASKS), lambda name: files.exists(root / name)),
        ),
        scattered(text, found) if thins else (),
        tuple(_spoken(found, text, called)),
    )


def _named(root: Path, given: Path) -> str:
    """The file *given* below *root*, by its folder's real place; in full if it is not there."""
    path = own_files.place(given.parent) / given.name
    here = own_files.place(root)
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _below(root: Path, files: Files, name: str) -> str:
    """The text of a file of the project; empty if it is not there, or leads out of it."""
    found: str | None = None
    with overlooked():
        found = own_files.text(root, files, name)
    return found or ""


# --- what may be secret ---------------------------------------------------------------


def _spoken(found: Adoption, text: str, called: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What to look through for secrets, of the scripts that are called, too."""
    is_made = is_makefile(found.path)
    for one in (text, *called):
        for key, value in _ASSIGNMENT.findall(one):
            yield key, value.strip("\"'")
    for row in (*(row for unit in found.units for row in unit.rows), *found.others):
        yield "", _whole(row.text)
    for line in _whole(text).splitlines():
        if not is_made or line.startswith(("\t", "#")):
            yield "", line
        elif made := _MADE.fullmatch(line.strip()):
            yield made[1], made[2]
            yield made[1], " ".join(made[2].partition(" #")[0].split())
    for line in (line for one in called for line in _whole(one).splitlines()):
        yield "", line
    for key, value in parse(text).variables.items() if is_made else ():
        yield from ((key, line.strip()) for line in value.split("\n"))


def _whole(text: str) -> str:
    """*text* with each line that is continued in one."""
    return re.sub(r"\\\r?\n[ \t]*", " ", text)


# --- configuration --------------------------------------------------------------------


def _configured(
    root: Path, files: Files, found: Adoption, environ: Mapping[str, str]
) -> tuple[tuple[Change, ...], tuple[Said, ...], tuple[Obstacle, ...]]:
    """The change to pyproject.toml, or what its own [tool.unstale], which stays, lacks; notes."""
    before = own_files.text(root, files, _PYPROJECT)
    said = tuple(_without_the_usual(found.said))
    ours = parsed(before or "").get("tool", {})
    ours = ours.get("unstale") if isinstance(ours, Mapping) else None
    if ours is not None:
        return (), tuple(one for one in said if not _is_said(ours, one)), ()
    there, notes = _there(root, files, said, found.path)
    tables = _tables(there, found.path)
    if not tables:
        return (), (), notes
    after = written.added(before or "", tables)
    try:
        # What is refused later is not proposed.
        load(root, Overlay(files, root / _PYPROJECT, after), environ)
    except (ConfigError, MissingFile) as error:
        return (), (), (*notes, _refused(error))
    return (Change(_PYPROJECT, before, after),), (), notes


def _there(
    root: Path, files: Files, said: Sequence[Said], path: str
) -> tuple[tuple[Said, ...], tuple[Obstacle, ...]]:
    """*said* without the files that are not there, and a note of each of those."""
    kept: list[Said] = []
    notes: list[Obstacle] = []
    for one in said:
        if one.key not in ("compose-files", "env-file") or one.table[0] != "environments":
            kept.append(one)
            continue
        names = one.value if isinstance(one.value, tuple) else (one.value,)
        here = tuple(name for name in names if files.exists(root / name))
        notes += (_gone(name, one, path) for name in names if name not in here)
        if here:
            kept.append(replace(one, value=one.value if len(here) == len(names) else here))
    return tuple(kept), tuple(notes)


def _gone(name: str, one: Said, path: str) -> Obstacle:
    return Obstacle(
        name,
        f"There is no file {name}, which {_where(one, path)} names.",
        "What is proposed leaves it out; it may be gone, made by a command, or meant from"
        " another folder.",
        f"if there is one, write it to {one.key} of [tool.unstale.{'.'.join(one.table)}]",
    )


def _refused(error: ConfigError | MissingFile) -> Obstacle:
    return Obstacle(
        _PYPROJECT,
        "No [tool.unstale] is proposed, since it would be refused.",
        " ".join(filter(None, (error.what, error.cause))),
        "write it by hand",
    )


def _without_the_usual(said: Iterable[Said]) -> Iterator[Said]:
    """*said* without what is so unless somebody says otherwise."""
    rows = tuple(said)
    runners = {one.value for one in rows if one.key == "runner"}
    for one in rows:
        if (one.table, one.key) != (("schema",), "service") or one.value not in runners:
            yield one


def _is_said(ours: object, one: Said) -> bool:
    wanted = list(one.value) if isinstance(one.value, tuple) else one.value
    if one.table == ("verify",):
        rules = ours.get("verify") if isinstance(ours, Mapping) else None
        texts = [r for r in rules if isinstance(r, Mapping)] if isinstance(rules, list) else []
        return any((r.get("path"), r.get("grep")) == (one.key, wanted) for r in texts)
    for name in one.table:
        ours = ours.get(name) if isinstance(ours, Mapping) else None
    return isinstance(ours, Mapping) and ours.get(one.key) == wanted


def _tables(said: Sequence[Said], path: str) -> list[Table]:
    tables = dict.fromkeys(one.table for one in said if one.table != ("verify",))
    order = sorted(tables, key=lambda table: (table[0] != "environments", table))
    names = [table[1] for table in order if table[0] == "environments"]
    made = []
    if len(names) == 1 and names[0] != "test":
        made.append(Table(("tool", "unstale"), (Entry("default-env", names[0]),)))
    for table in order:
        rows = sorted(
            (one for one in said if one.table == table),
            key=lambda one: _KEYS.index(one.key) if one.key in _KEYS else 99,
        )
        entries = tuple(Entry(one.key, one.value, why=_where(one, path)) for one in rows)
        made.append(Table(("tool", "unstale", *table), entries))
    for one in said:
        if one.table == ("verify",):
            rule = (Entry("path", one.key, why=_where(one, path)), Entry("grep", one.value))
            made.append(Table(("tool", "unstale", "verify"), rule, is_array=True))
    return made


def _where(one: Said, path: str) -> str:
    return f"{one.path or path}:{one.line}"


def _tasks(root: Path, files: Files, ours: Sequence[str]) -> tuple[tuple[Change, ...], TasksFile]:
    before = own_files.text(root, files, _TASKS)
    if before is not None:
        return (), tasksfile.advice(before, ours)
    if files.exists(root / "tasks"):
        note = "none is written, since it would hide the folder tasks/: use `unstale TASK`"
        return (), TasksFile("foreign", (note,))
    return (Change(_TASKS, None, tasksfile.NEW),), TasksFile("done", ())
