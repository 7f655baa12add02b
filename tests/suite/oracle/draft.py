"""A scenario that can still be changed: its Dockerfile is kept in parts."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from scenario import Node, Scenario, file


@dataclass(slots=True)
class Line:
    """An instruction. *body* is a here-document's text, with its delimiter as written in *rest*."""

    key: int
    word: str
    rest: str
    body: str | None = None
    delimiter: str = "EOF"


@dataclass(slots=True)
class Stage:
    name: str
    """Empty: it has none, and is called by its number."""
    base: str
    lines: list[Line] = field(default_factory=list)
    has_shell: bool = False


@dataclass(slots=True)
class Draft:
    """The parts of a scenario."""

    tree: dict[str, Node] = field(default_factory=dict)
    ignore: list[str] | None = None
    own_ignore: list[str] | None = None
    stages: list[Stage] = field(default_factory=list)
    before_stages: list[str] = field(default_factory=list)
    """ARG lines before the first FROM."""
    look: int = 0
    """How the text is written: 0 plainly, else the seed of its case, comments and breaks."""
    target: str | None = None
    args: dict[str, str] = field(default_factory=dict)
    named: dict[str, dict[str, Node]] = field(default_factory=dict)
    named_images: dict[str, str] = field(default_factory=dict)
    moving: str = ""
    place: str = "Dockerfile"
    inline: bool = False
    root_mode: int = 0o755
    platforms: tuple[str, ...] = ()
    escape: str = "\\"
    ignore_prefix: str = ""
    """A byte order mark, perhaps."""
    ignore_end: str = "\n"
    used: int = 0

    def next(self) -> int:
        """A number that nothing in this draft has."""
        self.used += 1
        return self.used

    def copy(self) -> Draft:
        return copy.deepcopy(self)

    @property
    def last(self) -> Stage:
        return self.stages[-1]

    def lines(self) -> Iterator[tuple[Stage, Line]]:
        for stage in self.stages:
            for line in stage.lines:
                yield stage, line

    def line(self, key: int) -> Line:
        return next(line for _, line in self.lines() if line.key == key)

    def add(self, stage: Stage, word: str, rest: str, body: str | None = None) -> int:
        """Append an instruction; its key finds it again in a copy of the draft."""
        key = self.next()
        stage.lines.append(Line(key, word, rest, body))
        return key

    def scenario(self) -> Scenario:
        """The value."""
        text = render(self)
        context, beside = dict(self.tree), {}
        own = None if self.own_ignore is None else file("\n".join([*self.own_ignore, ""]))
        if not self.inline:
            home = beside if self.place.startswith("../beside/") else context
            name = self.place.removeprefix("../beside/")
            home[name] = file(text)
            if own:
                home[f"{name}.dockerignore"] = own
        elif own:
            context["Dockerfile.dockerignore"] = own  # which nothing then reads
        if self.ignore is not None:
            rules = self.ignore_end.join([*self.ignore, ""])
            context[".dockerignore"] = file(self.ignore_prefix + rules)
        return Scenario(
            context=context,
            dockerfile=self.place,
            inline=text if self.inline else None,
            target=self.target,
            args=tuple(sorted(self.args.items())),
            beside=beside,
            named={name: dict(tree) for name, tree in self.named.items()},
            named_images=dict(self.named_images),
            moving=self.moving,
            root_mode=self.root_mode,
            platforms=self.platforms,
        )


def render(draft: Draft) -> str:
    """The Dockerfile's text, in the draft's look."""
    look = Random(draft.look) if draft.look else None
    parts = [("ARG", one) for one in draft.before_stages]
    found = [] if draft.escape == "\\" else [f"# escape={draft.escape}\n"]
    found += [_styled(word, rest, look, draft.escape) for word, rest in parts]
    for stage in draft.stages:
        named = f"{stage.base} AS {stage.name}" if stage.name else stage.base
        found.append(_styled("FROM", named, look, draft.escape))
        found += [_line(line, look, draft.escape) for line in stage.lines]
    text = "".join(found)
    may_crlf = look is not None and all(line.body is None for _, line in draft.lines())
    return text.replace("\n", "\r\n") if may_crlf and draft.look % 5 == 0 else text


def _line(line: Line, look: Random | None, escape: str) -> str:
    if line.body is None:
        return _styled(line.word, line.rest, look, escape)
    word = line.word if look is None else look.choice((line.word, line.word.lower()))
    return f"{word} {line.rest}\n{line.body}{line.delimiter}\n"


# Their words are read one by one: blanks between them say nothing.
_WORDS = frozenset({"COPY", "ADD", "LABEL", "EXPOSE"})


def _styled(word: str, rest: str, look: Random | None, escape: str) -> str:
    if look is None:
        return f"{word} {rest}\n"
    before = look.choice(("", "", "", "\n", f"# comment {look.random()}\n", "\n\n", "  "))
    word = look.choice((word, word, word.lower(), word.capitalize()))
    if word.upper() in _WORDS and "[" not in rest and '"' not in rest and look.random() < 0.4:
        first, blank, others = rest.partition(" ")
        between = look.choice(("  ", f" {escape}\n ", f" {escape}\n# within\n\n  ", "\t"))
        rest = first + (between if blank else "") + others
    return f"{before}{word} {rest}{look.choice(('', '', ' ', '  '))}\n"
