"""A Makefile as targets with their commands. Pure: neither make nor ``$(shell ...)`` is run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from unstale.survey.script import Command, commands

__all__ = ["Makefile", "Target", "parse"]

_ASSIGNMENT = re.compile(
    r"(?:(?:export|override|private|unexport)\s+)*([\w.-]+)\s*(\?=|:{0,3}=|\+=|!=)\s*(.*)",
    re.DOTALL,
)
_RULE = re.compile(r"([^:=#\t][^:=#]*?)\s*::?(?![:=])\s*([^;#]*)(;.*)?(?:#.*)?$", re.DOTALL)
_WORDS = re.compile(r"(?:if(?:n?eq|n?def)|else|endif|export|unexport|vpath|undefine)\b")
_INCLUDE = re.compile(r"[-s]?include\s+(.*)")
_REFERENCE = re.compile(r"\$(?:\(([\w.-]+)\)|\{([\w.-]+)\}|([A-Za-z]))")
_DEEPEST, _LONGEST = 8, 20_000
_DEFINE = re.compile(r"(?:override\s+|export\s+)*define\s+([\w.-]+)")


@dataclass(frozen=True, slots=True)
class Target:
    """A target, what it needs first, and what it runs."""

    name: str
    line: int
    needs: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    last: int = 0
    """The last line of its recipe; its own, if it has none."""


@dataclass(frozen=True, slots=True)
class Makefile:
    """What a Makefile has."""

    targets: tuple[Target, ...]
    variables: Mapping[str, str]
    others: tuple[tuple[int, str], ...]
    """Lines that are no rule and no assignment, such as ``include``."""


def parse(text: str) -> Makefile:
    """The targets of *text*; a line that is nothing known is in ``others``."""
    reader = _Reader()
    for line, row, is_recipe in _rows(text):
        reader.take(line, row, is_recipe=is_recipe)
    return reader.done()


def _rows(text: str) -> Iterator[tuple[int, str, bool]]:
    """Each logical line with its number, and whether it begins with a tab."""
    rows = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(rows):
        line, row = at + 1, rows[at]
        is_recipe = row.startswith("\t")
        while row.endswith("\\") and at + 1 < len(rows):
            at += 1
            # The shell gets the continuation of a recipe as it is.
            following = rows[at].removeprefix("\t") if is_recipe else f" {rows[at].lstrip()}"
            row = f"{row}\n{following}" if is_recipe else row[:-1] + following
        at += 1
        yield line, row, is_recipe


@dataclass
class _Reader:
    targets: list[Target] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    others: list[tuple[int, str]] = field(default_factory=list)
    current: tuple[int, ...] = ()
    """Where the targets are that a recipe belongs to."""
    defined: str = ""
    recipes: list[tuple[int, str, tuple[int, ...]]] = field(default_factory=list)

    def take(self, line: int, row: str, *, is_recipe: bool) -> None:
        """Take the next line."""
        bare = row.strip()
        if self.defined:
            self._take_defined(row)
        elif is_recipe and self.current and bare:
            self.recipes.append((line, row.strip("\t "), self.current))
        elif not bare or bare.startswith("#") or _WORDS.match(bare):
            self._directive(line, bare)
        elif found := _DEFINE.match(bare):
            self.defined = found[1]
        elif found := _ASSIGNMENT.fullmatch(bare):
            self._assign(found[1], found[2], found[3])
        elif not _INCLUDE.match(bare) and (found := _RULE.match(row)):
            self._rule(line, found)
        else:
            self.current = ()
            self.others.append((line, bare))

    def _take_defined(self, row: str) -> None:
        if row.strip() == "endef":
            self.defined = ""
        else:
            before = self.variables.get(self.defined, "")
            self.variables[self.defined] = f"{before}\n{row}" if before else row

    def _directive(self, line: int, bare: str) -> None:
        if bare.startswith("export ") and (found := _ASSIGNMENT.fullmatch(bare)):
            self._assign(found[1], found[2], found[3])
        elif bare.startswith(("vpath", "undefine")):
            self.others.append((line, bare))

    def _assign(self, name: str, how: str, value: str) -> None:
        value = value.partition(" #")[0].strip()
        if how == "+=" and name in self.variables:
            value = f"{self.variables[name]} {value}"
        if how != "?=" or name not in self.variables:
            self.variables[name] = value

    def _rule(self, line: int, found: re.Match[str]) -> None:
        if _ASSIGNMENT.fullmatch(found[2].strip()):
            return  # a variable of one target
        needs = tuple(word for word in found[2].split() if word != "|")
        names = [name for name in found[1].split() if name]
        self.current = ()
        if not names or (names[0].startswith(".") and "/" not in names[0]):
            return  # .PHONY and its like
        self.current = tuple(range(len(self.targets), len(self.targets) + len(names)))
        self.targets += [Target(name, line, needs, last=line) for name in names]
        if found[3] and found[3][1:].strip():
            self.recipes.append((line, found[3][1:].strip(), self.current))

    def done(self) -> Makefile:
        """What was read, with the variables that are known by the end, as make has them."""
        for line, row, where in self.recipes:
            made = tuple(self._commands(line, row))
            last = line + row.count("\n")
            for at in where:
                one = self.targets[at]
                self.targets[at] = replace(one, commands=(*one.commands, *made), last=last)
        return Makefile(_merged(self.targets), self.variables, tuple(self.others))

    def _commands(self, line: int, row: str) -> Iterator[Command]:
        # As make does: its own variables first, then what is left to the shell.
        text = row.lstrip("@-+ \t").replace("$$", "\0")
        for _ in range(_DEEPEST):
            text, before = _REFERENCE.sub(self._value, text), text
            if text == before or len(text) > _LONGEST:
                break
        yield from commands(text.replace("\0", "$"), line)

    def _value(self, found: re.Match[str]) -> str:
        name = found[1] or found[2] or found[3]
        if name == "MAKE":
            return "make"
        return self.variables.get(name, f"${{{name}}}")  # the user's, or the environment's


def _merged(targets: list[Target]) -> tuple[Target, ...]:
    """One target for each name: its needs may be in a rule of their own."""
    found: dict[str, Target] = {}
    for one in targets:
        first = found.get(one.name)
        if first is None:
            found[one.name] = one
            continue
        is_empty = not first.commands
        found[one.name] = replace(
            first,
            line=one.line if is_empty and one.commands else first.line,
            needs=(*first.needs, *one.needs),
            commands=(*first.commands, *one.commands),
            last=one.last if one.commands else first.last,
        )
    return tuple(found.values())
