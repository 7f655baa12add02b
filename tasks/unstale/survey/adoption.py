"""A Makefile or shell runner, target by target and option by option, as tasks. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from unstale.survey.equivalents import Kind, Meaning, Said, meaning
from unstale.survey.makefile import Makefile, Target, parse
from unstale.survey.script import Block, Command, assigned, commands

__all__ = ["Adoption", "Row", "Unit", "adoption", "is_makefile"]

Read = Callable[[str], str]
"""The text of a file of the project; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Row:
    """A command, and what becomes of it."""

    line: int
    text: str
    meaning: Meaning
    under: str = ""
    """The condition or option that it stands under."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that people type: a target, a script, or an option of one."""

    name: str
    line: int
    becomes: str
    """What is typed instead, without ``inv``; empty if there is no such thing."""
    rows: tuple[Row, ...] = ()
    last: int = 0
    is_guess: bool = False
    """By its name, since what it does is not understood."""

    @property
    def left(self) -> tuple[str, ...]:
        """What nothing replaces: lines of this file, and places in scripts that it calls."""
        kinds = (Kind.UNKNOWN, Kind.KEPT)
        own = (f"line {row.line}" for row in self.rows if row.meaning.kind in kinds)
        called = (place for row in self.rows for place in row.meaning.left)
        return tuple(dict.fromkeys((*own, *called)))

    @property
    def kind(self) -> Kind:
        """What becomes of it as a whole."""
        if self.becomes:
            return Kind.TASK
        kinds = {row.meaning.kind for row in self.rows}
        if Kind.UNKNOWN in kinds:
            return Kind.UNKNOWN
        return Kind.KEPT if Kind.KEPT in kinds or not kinds else Kind.PART


@dataclass(frozen=True, slots=True)
class Adoption:
    """What becomes of a file."""

    path: str
    units: tuple[Unit, ...]
    said: tuple[Said, ...]
    """What it says that becomes configuration; the first to say it counts."""
    others: tuple[Row, ...] = ()
    """Lines that are in no unit."""

    @property
    def is_script(self) -> bool:
        """Whether it is no Makefile."""
        return not is_makefile(self.path)

    @property
    def unknown(self) -> tuple[Row, ...]:
        """What was not understood, by line; each place once."""
        rows = (*(row for unit in self.units for row in unit.rows), *self.others)
        found = {(r.line, r.text): r for r in rows if r.meaning.kind is Kind.UNKNOWN}
        return tuple(sorted(found.values(), key=lambda row: row.line))


def is_makefile(path: str) -> bool:
    """Whether a file is a Makefile, by its name."""
    name = posixpath.basename(path)
    return name.lower() in ("makefile", "gnumakefile") or name.endswith((".mk", ".make"))


def adoption(path: str, text: str, read: Read) -> Adoption:
    """What becomes of the file *path*, which has *text*."""
    return _of_makefile(path, text, read) if is_makefile(path) else _of_script(path, text, read)


# --- a script -------------------------------------------------------------------------


def _of_script(path: str, text: str, read: Read, depth: int = 0) -> Adoption:
    rows = tuple(_rows(commands(text), {}, _Calls(read, depth)))
    own = tuple(row for row in rows if not row.under.startswith("-"))
    # What is built on demand alone has an option of its own.
    always = (r for r in own if not (r.under and r.meaning.task.startswith("image.build")))
    whole = Unit(path, 1, summary(_tasks(always)), own, text.count("\n") + 1)
    options = tuple(_options(commands(text), rows, whole.becomes))
    return Adoption(path, (whole, *options), _said(rows))


_OPTIONS = {
    "--build": "test.integration --build",
    "-b": "test.integration --build",
    "--rebuild": "test.integration --build",
    "--no-cache": "test.integration --no-cache",
    "--keep": "test.integration --keep",
    "-k": "test.integration --keep",
    "--debug": "test.integration --keep",
    "--no-cleanup": "test.integration --keep",
    "--verbose": "test.integration --verbose",
    "-v": "test.integration --verbose",
    "--services": "test.integration --services",
    "--services-only": "test.integration --services",
    "-s": "test.integration --services",
    "--cleanup": "stack.down",
    "--clean": "stack.down",
    "--down": "stack.down",
    "--logs": "stack.logs",
    "--status": "stack.status",
    "--env": "test.integration --env NAME",
    "--help": "--help test.integration",
    "-h": "--help test.integration",
    "--": "test.integration -- PYTEST ARGS",
}


def _options(found: Sequence[Command], rows: Sequence[Row], whole: str) -> Iterator[Unit]:
    """A unit for each option that a ``case`` of the script takes."""
    arms: dict[tuple[int, tuple[str, ...]], list[Row]] = {}
    for command, row in zip(found, rows, strict=True):
        arm = command.within("arm")
        if arm is not None and _is_option(arm):
            arms.setdefault((arm.line, arm.words), []).append(row)
    for (line, words), inside in arms.items():
        flags = [word.rstrip("=*") or word for word in words]
        task = next((_OPTIONS[flag] for flag in flags if flag in _OPTIONS), "")
        if not task and all(flag.strip("-") == "*" or flag == "-" for flag in flags):
            continue  # a mistyped option, which Invoke refuses itself
        if not whole.startswith("test.") and task.startswith("test."):
            task = ""
        kept = tuple(inside)
        if not task:
            why = "no task has such an option"
            kept = (Row(line, "|".join(words), Meaning(Kind.UNKNOWN, why=why)), *kept)
        yield Unit(", ".join(flags), line, task, kept, line)


def _is_option(arm: Block) -> bool:
    return any(word.startswith("-") and word != "-*" for word in arm.words)


# --- a Makefile -----------------------------------------------------------------------


def _of_makefile(path: str, text: str, read: Read) -> Adoption:
    made = parse(text)
    reader = _Makefile(made, _Calls(read))
    units = tuple(reader.unit(target) for target in made.targets)
    others = tuple(
        Row(
            line,
            row,
            Meaning(
                Kind.UNKNOWN,
                why="no rule and no variable; an included file is adopted by its own name",
            ),
        )
        for line, row in made.others
    )
    return Adoption(path, units, _said(row for unit in units for row in unit.rows), others)


_NAMES = (
    (r"(run-)?(test-integration|integration(-tests?)?)-build", "test.integration --build"),
    (r"(run-)?(test-integration|integration(-tests?)?)-services", "test.integration --services"),
    (r"(run-)?(test-integration|integration(-tests?)?)-debug", "test.integration --keep"),
    (r"(run-)?(test-integration|integration(-tests?)?)-(cleanup|clean|down)", "stack.down"),
    (r"(run-)?(test-integration|integration(-tests?)?)", "test.integration"),
    (r"(run-)?(test-unit|unit(-tests?)?)", "test.unit"),
    (r"(run-)?(test-smoke|smoke(-tests?)?)", "test.smoke"),
    (r"(run-)?(test-regression|regression(-tests?)?)", "test.regression"),
    (r"(validate|check|verify)-(docker-)?images?(-fresh(ness)?)?", "image.status --fail-on-stale"),
    (r"(db-)?(migrate|upgrade)(-db)?", "db.migrate"),
    (r"(check|compare|diff)-envs?", "env.check"),
)


@dataclass(frozen=True)
class _Makefile:
    """Targets, which may call one another."""

    made: Makefile
    calls: _Calls

    def unit(self, target: Target) -> Unit:
        rows = tuple(self._rows(target))
        task = summary(self._all_tasks(target, ()))
        is_whole = not any(row.meaning.kind is Kind.UNKNOWN for row in rows)
        guess = "" if task and is_whole else _by_name(target.name)
        if guess and (rows or target.needs) and not (task and is_whole):
            return Unit(target.name, target.line, guess, rows, target.last, is_guess=True)
        return Unit(target.name, target.line, task, rows, target.last)

    def _rows(self, target: Target) -> Iterator[Row]:
        for row in _rows(target.commands, self.made.variables, self.calls):
            called = self._called(row)
            if called is None:
                yield row
                continue
            task = summary(self._all_tasks(called, (target.name,)))
            kind = Kind.TASK if task else Kind.KEPT
            yield replace(row, meaning=Meaning(kind, task, f"the target {called.name}"))

    def _called(self, row: Row) -> Target | None:
        """The target that a command makes."""
        words = row.text.split()
        if not words or words[0] not in ("make", "gmake"):
            return None
        names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        return next((one for one in self.made.targets if one.name in names), None)

    def _all_tasks(self, target: Target, above: tuple[str, ...]) -> tuple[str, ...]:
        """The tasks of *target* with those of what it needs first."""
        if target.name in above or len(above) > 20:
            return ()
        found: list[str] = []
        for name in target.needs:
            needed = next((one for one in self.made.targets if one.name == name), None)
            if needed is not None:
                found += self._all_tasks(needed, (*above, target.name))
        for row in _rows(target.commands, self.made.variables, self.calls):
            called = self._called(row)
            if called is not None:
                found += self._all_tasks(called, (*above, target.name))
            elif row.meaning.task:
                found.append(row.meaning.task)
        return tuple(found)


def _by_name(name: str) -> str:
    return next((task for rule, task in _NAMES if re.fullmatch(rule, name.replace("_", "-"))), "")


# --- commands -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Calls:
    """The project's scripts, which a command may call."""

    read: Read
    depth: int = 0

    def meaning(self, command: Command) -> Meaning | None:
        """What a call of a script becomes; None: it is none, or it is not there."""
        words = [
            word for word in command.words if word not in ("bash", "sh", "exec", "source", ".")
        ]
        if not words or not re.fullmatch(r"[\w./$-]+\.(?:sh|bash)", words[0]) or self.depth > 3:
            return None
        path = posixpath.normpath(re.sub(r"^\$\w+/", "", words[0]))
        text = "" if path.startswith(("/", "..")) else self.read(path)
        if not text:
            why = f"{path} is not there" if "$" not in path else "which script it is can't be told"
            return Meaning(Kind.UNKNOWN, why=why)
        found = _of_script(path, text, self.read, self.depth + 1)
        said = tuple(replace(one, path=one.path or path) for one in found.said)
        what = self._with_options(found.units[0], words[1:], path)
        return replace(what, said=said, left=tuple(_left(found.units[0], path)))

    def _with_options(self, whole: Unit, words: Sequence[str], path: str) -> Meaning:
        if not whole.becomes:
            kind = whole.kind if whole.kind in (Kind.UNKNOWN, Kind.KEPT) else Kind.PART
            return Meaning(kind, why=f"by what {path} does")
        if not whole.becomes.startswith("test.integration"):
            return Meaning(Kind.TASK, whole.becomes, f"by what {path} does")
        flags = [word for word in words if word.startswith("-")]
        tasks = [_OPTIONS.get(flag, "") for flag in flags]
        lost = [flag for flag, task in zip(flags, tasks, strict=True) if not task]
        if lost:
            return Meaning(Kind.UNKNOWN, why=f"no task has the option {lost[0]} of {path}")
        if other := next((t for t in tasks if not t.startswith("test.integration")), ""):
            return Meaning(Kind.TASK, other, f"by what {path} does")
        extra = dict.fromkeys(task.removeprefix("test.integration ") for task in tasks)
        task = " ".join(("test.integration", *(one for one in extra if not one.startswith("-- "))))
        return Meaning(Kind.TASK, task, f"by what {path} does")


def _left(whole: Unit, path: str) -> Iterator[str]:
    """What of a script nothing replaces."""
    for row in whole.rows:
        if row.meaning.kind in (Kind.UNKNOWN, Kind.KEPT):
            yield f"{path}:{row.line}"
        yield from row.meaning.left


def _rows(found: Sequence[Command], known: Mapping[str, str], calls: _Calls) -> Iterator[Row]:
    values = {**known, **assigned(tuple(found))}
    sleeping = {loop for one in found if one.words[0] == "sleep" and (loop := one.within("loop"))}
    lines = {(loop.line, loop.kind) for loop in sleeping}
    own = {b.words[0] for one in found for b in one.blocks if b.kind == "function" and b.words}
    trapped = {w for one in found if one.words[0] == "trap" for w in one.words[1:]}
    for one in found:
        waits = any((block.line, block.kind) in lines for block in one.blocks)
        function = one.within("function")
        what = calls.meaning(one) or meaning(one, values, waits=waits)
        if (
            function
            and function.words
            and function.words[0] in trapped
            and what.task == "stack.down"
        ):
            what = Meaning(Kind.PART, why="a run removes its stack whatever ends it")
        if one.words[0] in own:
            what = Meaning(Kind.PART, why="a function of the script")
        yield Row(one.line, one.text, what, _under(one))


def _under(command: Command) -> str:
    arm, branch = command.within("arm"), command.within("if")
    if arm is not None:
        return "|".join(arm.words)
    if branch is not None and not command.is_condition:
        return "if " + " ".join(branch.words)[:80]
    return ""


def _tasks(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(row.meaning.task for row in rows if row.meaning.task)


_IN_A_RUN = re.compile(
    r"(stack\.\w+|image\.(build|status|verify|list|timeline)|db\.(migrate|status|check|tables)|test\.run)\b"
)


def summary(tasks: Sequence[str]) -> str:
    """*tasks* in a row as one command line; a run does most of them by itself."""
    single = [one for task in tasks for one in _single(task)]
    at = [number for number, one in enumerate(single) if one.startswith(("test.run", "test.integ"))]
    ups = [one for one in single if one.startswith("stack.up")]
    builds = [one for one in single if one.startswith("image.build")]
    if at and any(_IN_A_RUN.match(one) for n, one in enumerate(single) if n not in at):
        ends = any(one.startswith("stack.down") for one in single[at[-1] :])
        keeps = bool(ups) and not ends and not any(o.startswith("stack.down") for o in single)
        given = [w for n in at for w in single[n].split()[1:]]
        options = ["--no-cache"] if any("--no-cache" in one for one in builds) else []
        options += ["--build"] if builds and not options else []
        options += ["--keep"] if keeps else []
        others = [
            one for one in single if not _IN_A_RUN.match(one) and not one.startswith("test.i")
        ]
        whole = " ".join(("test.integration", *dict.fromkeys((*options, *given))))
        return " ".join(dict.fromkeys((whole, *others)))
    if ups and any(one.startswith("db.migrate") for one in single) and not at:
        return "test.integration --services"
    return " ".join(dict.fromkeys(single))


_VALUED = ("--service", "--build-arg", "--path", "--grep", "--regex", "--env")


def _single(task: str) -> Iterator[str]:
    """The single tasks of a chain, each with its options."""
    if " -- " in task:
        yield task
        return
    part: list[str] = []
    for word in task.split(" "):
        if part and re.fullmatch(r"[a-z]+\.[a-z]+", word) and part[-1] not in _VALUED:
            yield " ".join(part)
            part = []
        part.append(word)
    if part:
        yield " ".join(part)


def _said(rows: Iterable[Row]) -> tuple[Said, ...]:
    found: dict[tuple[tuple[str, ...], str, object], Said] = {}
    for row in rows:
        for one in row.meaning.said:
            twin = one.value if one.table == ("verify",) else None
            found.setdefault((one.table, one.key, twin), one)
    return tuple(found.values())
