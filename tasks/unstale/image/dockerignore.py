r"""What a .dockerignore leaves out of the build context. Pure.

A port of what BuildKit does, its oddities included: a pattern is turned into a
Go regular expression without complete escaping, so ``a^b*`` never matches and
``\d*`` means a digit. Where builders differ, it refuses to guess.

Source: moby/patternmatcher (``ignorefile.ReadAll``, ``New``, and
``MatchesUsingParentResults``) and tonistiigi/fsutil (``filter.go``).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from unstale.errors import CouldNotTell
from unstale.image import goglob, goregexp

__all__ = ["Rule", "Rules", "Scope", "may_hold_exceptions", "parse", "step"]

# bufio.Scanner gives up on a line that fills its buffer, and the build fails.
_LONGEST_LINE_BYTES = 64 * 1024 - 1

_BOM = "\ufeff"

# unicode.IsSpace of Go; str.strip() would also strip U+001C to U+001F.
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + "\u2028\u2029\u202f\u205f\u3000"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# `|`, `{` and `}` are in Go's list too, but its bitmap has no room for bytes
# above 63, so they stay as they are.
_ESCAPED = frozenset(".+()$")

# A class such as [co] or [0-9], where there is no slash between the ends of a range.
_PLAIN_CLASS = re.compile("\\[[0-9A-Za-z][0-9A-Za-z-]*\\]")

Kind = Literal["exact", "prefix", "suffix", "regexp"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a .dockerignore."""

    pattern: str
    """Cleaned, without the exclamation mark."""
    exception: bool
    """True for ``!pattern``: it brings paths back."""
    kind: Kind
    regexp: re.Pattern[str] | None

    def matches(self, path: str) -> bool:
        """Whether the pattern matches *path* itself, whatever its parents do."""
        match self.kind:
            case "exact":
                return path == self.pattern
            case "prefix":
                return path.startswith(self.pattern[:-2])
            case "suffix":
                suffix = self.pattern[2:]
                return path.endswith(suffix) or (suffix[:1] == "/" and path == suffix[1:])
            case "regexp":
                return self.regexp is not None and bool(self.regexp.search(_runes(path)))


@dataclass(frozen=True, slots=True)
class Scope:
    """What the rules have to say of the names in one folder.

    The rules that can't match a name there are gone. What is left of a rule is
    a name, its beginning, its end, or a regular expression.
    """

    rules: Rules
    folder: str
    """With a slash at the end; empty for the root."""
    parent: tuple[bool, ...]
    out: bool
    """Whether a name is left out that no rule in question matches."""
    every: bool
    """Whether a rule in question matches every name."""
    names: frozenset[str]
    starts: tuple[str, ...]
    ends: tuple[str, ...]
    name_regexp: re.Pattern[str] | None
    path_regexp: re.Pattern[str] | None

    def judge(self, name: str) -> tuple[bool, tuple[bool, ...]]:
        """As `step`, for a name in this folder."""
        if self._is_matched(name):
            return _ask(self.folder + name, self.rules, self.parent)
        return self.out, self.parent

    def _is_matched(self, name: str) -> bool:
        return (
            self.every
            or name in self.names
            or name.startswith(self.starts)
            or name.endswith(self.ends)
            or (self.name_regexp is not None and bool(self.name_regexp.search(_runes(name))))
            or (
                self.path_regexp is not None
                and bool(self.path_regexp.search(_runes(self.folder + name)))
            )
        )


class Rules(tuple[Rule, ...]):  # noqa: SLOT001 - a tuple's subclass can't have slots
    """The rules of one file, in their order.

    Remembers the scope that was asked for last: a walk asks for the same one
    name after name.
    """

    _last: Scope | None = None

    def scope(self, folder: str, parent: tuple[bool, ...]) -> Scope:
        """The scope of *folder* ("" or "a/b/"), of which the rules said *parent*."""
        last = self._last
        if last is None or last.folder != folder or last.parent != parent:
            last = self._last = _scope(self, folder, parent)
        return last


def parse(text: str) -> Rules:
    """Read a .dockerignore; *text* is decoded with ``surrogateescape``.

    Raises:
        CouldNotTell: the build refuses a pattern, as soon as it comes to it;
            or what it means depends on the version of the builder.

    """
    rules = []
    for number, line in enumerate(text.split("\n"), 1):
        if len(line.encode(errors="surrogateescape")) > _LONGEST_LINE_BYTES:
            raise CouldNotTell(
                f"Line {number} of the .dockerignore is longer than 64 KiB.",
                cause="The build refuses it.",
                hint="is it the right file?",
            )
        pattern = _read(line.removeprefix(_BOM) if number == 1 else line)
        if pattern.strip(_SPACE):
            rules.append(_rule(pattern, number))
    return Rules(rules)


def step(path: str, rules: Sequence[Rule], parent: Sequence[bool]) -> tuple[bool, tuple[bool, ...]]:
    """Judge *path* by what each rule said of the folder it is in.

    Returns whether it is left out, and what each rule said, for its children.
    """
    folder, slash, name = path.rpartition("/")
    known = rules if isinstance(rules, Rules) else Rules(rules)
    return known.scope(folder + slash, tuple(parent)).judge(name)


def may_hold_exceptions(folder: str, rules: Sequence[Rule]) -> bool:
    """Whether a folder that is left out must be entered all the same."""
    exceptions = [_without_trailing_glob(rule.pattern) for rule in rules if rule.exception]
    if any(set(pattern) & set("*[]?^\\") for pattern in exceptions):
        return True
    return any(f"{pattern}/".startswith(f"{folder}/") for pattern in exceptions)


def _without_trailing_glob(pattern: str) -> str:
    return pattern.removesuffix("/**").removesuffix("/*")


def _ask(path: str, rules: Sequence[Rule], parent: Sequence[bool]) -> tuple[bool, tuple[bool, ...]]:
    """What each rule says of *path*; the last one that matches wins.

    A rule that could not change the answer is not asked, so its "no" reaches
    the children as well: BuildKit walks like this, and the order shows.
    """
    out = False
    matched: list[bool] = []
    for rule, inherited in zip(rules, parent, strict=True):
        match = inherited or (rule.exception == out and rule.matches(path))
        matched.append(match)
        if match:
            out = not rule.exception
    return out, tuple(matched)


def _scope(rules: Rules, folder: str, parent: tuple[bool, ...]) -> Scope:
    out, asked = _in_question(rules, parent)
    stems = [rule.pattern[:-2] for rule in asked if rule.kind == "prefix"]
    suffixes = [rule.pattern[2:] for rule in asked if rule.kind == "suffix"]
    regexps = [rule.pattern for rule in asked if rule.kind == "regexp"]
    split = [parts for pattern in regexps if (parts := _split(pattern)) is not None]
    whole = [_compile(pattern).pattern for pattern in regexps if _split(pattern) is None]
    paths = [rule.pattern.rpartition("/") for rule in asked if rule.kind == "exact"]
    names = [name for head, slash, name in paths if head + slash == folder]
    names += [end for suffix in suffixes if (end := _end(suffix, folder)) is not None]
    return Scope(
        rules,
        folder,
        parent,
        out,
        every=any(folder.startswith(stem) for stem in stems),
        names=frozenset(names),
        starts=tuple(stem[len(folder) :] for stem in stems if stem.startswith(folder)),
        ends=tuple(suffix for suffix in suffixes if "/" not in suffix),
        name_regexp=_any_of(tuple(name for head, name in split if head.search(_runes(folder)))),
        path_regexp=_any_of(tuple(whole)),
    )


def _in_question(rules: Rules, parent: tuple[bool, ...]) -> tuple[bool, list[Rule]]:
    """The verdict if no further rule matches, and the rules that are asked on the way to it."""
    out = False
    asked: list[Rule] = []
    for rule, inherited in zip(rules, parent, strict=True):
        if inherited:
            out = not rule.exception
        elif rule.exception == out:
            asked.append(rule)
    return out, asked


def _end(suffix: str, folder: str) -> str | None:
    """The one name in *folder* that makes a path end in *suffix*, which has a slash."""
    head, slash, name = suffix.rpartition("/")
    # "/a" also matches the path "a".
    place = f"/{folder}" if suffix.startswith("/") else folder
    return name if slash and place.endswith(head + slash) else None


@lru_cache(maxsize=256)
def _any_of(regexps: tuple[str, ...]) -> re.Pattern[str] | None:
    if not regexps:
        return None
    return re.compile("|".join(f"(?:{regexp})" for regexp in regexps), re.ASCII)


@lru_cache(maxsize=1024)
def _split(pattern: str) -> tuple[re.Pattern[str], str] | None:
    """A regular expression for the folder with its slash, and one for the name.

    None if they can't be told apart: something else than a slash in the
    pattern, or ``**/``, might match a slash.
    """
    if set(_PLAIN_CLASS.sub("", pattern)) & set("[]\\^|{}" + _BOM):
        return None
    *head, tail = pattern.split("/")
    if "**" in tail or any("**" in part and part != "**" for part in head):
        return None
    name = _translate(tail)[1]
    folder = _translate(pattern)[1].removesuffix(name)
    return goregexp.compile_search(f"^{folder}$"), goregexp.compile_search(f"^{name}$").pattern


def _read(line: str) -> str:
    """The pattern that a line of the file holds, as it is sent; empty if it holds none."""
    if line.startswith("#"):
        return ""
    pattern = line.strip(_SPACE)
    mark = "!" * pattern.startswith("!")
    pattern = pattern.removeprefix("!").strip(_SPACE) if mark else pattern
    if pattern:
        pattern = _clean(pattern)
        pattern = pattern[1:] if len(pattern) > 1 and pattern[0] == "/" else pattern
    # The patterns travel as JSON, where Go writes U+FFFD for what is not UTF-8.
    return _runes(mark + pattern)


def _rule(sent: str, line: int) -> Rule:
    if _CONTROL.search(sent):
        raise _bad(line, sent, "some builders refuse a control character")
    # Trimmed and cleaned once more, so "/ a" is "a" and "/!a" an exception.
    pattern = _clean(sent.strip(_SPACE))
    exception = pattern.startswith("!")
    pattern = pattern.removeprefix("!") if exception else pattern
    if not pattern:
        raise _bad(line, sent, "it brings nothing back")
    try:
        goglob.refuse_as_matching_a_dot(pattern)
        kind = _translate(pattern)[0]
        regexp = _compile(pattern) if kind == "regexp" else None
    except (goglob.BadPattern, goregexp.BadRegexp) as error:
        raise _bad(line, sent, str(error)) from error
    if kind == "suffix" and pattern.startswith(_BOM):
        raise _bad(line, sent, "of a byte order mark before ** the builder keeps a part")
    return Rule(pattern, exception, kind, regexp)


def _bad(line: int, pattern: str, why: str) -> CouldNotTell:
    return CouldNotTell(
        f"Line {line} of the .dockerignore has a pattern that can't be applied: {pattern!r}.",
        cause=f"{why[:1].upper()}{why[1:]}.",
        hint="write the pattern in another way",
    )


def _clean(pattern: str) -> str:
    # path.Clean; Python keeps two leading slashes, Go one.
    return posixpath.normpath(re.sub("^/+", "/", pattern))


def _runes(text: str) -> str:
    # Go reads each byte that is not UTF-8 as U+FFFD.
    return text if text.isascii() else re.sub("[\udc80-\udcff]", "\ufffd", text)


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    return goregexp.compile_search(f"^{_translate(pattern)[1]}$")


def _translate(pattern: str) -> tuple[Kind, str]:
    """What kind *pattern* is of, and as a Go regular expression, as ``Pattern.compile`` says."""
    kind: Kind = "exact"
    source: list[str] = []
    chars = pattern.removeprefix(_BOM)
    at = 0
    while at < len(chars):
        start, char = at, chars[at]
        at += 1
        if char == "*" and chars[at : at + 1] == "*":
            at += 2 if chars[at + 1 : at + 2] == "/" else 1
            if at < len(chars):
                source.append("(.*/)?")
                kind = "regexp"
            elif kind == "exact":
                kind = "prefix"
            else:
                source.append(".*")
                kind = "regexp"
            if start == 0:
                kind = "suffix"
        elif char in "*?":
            source.append("[^/]*" if char == "*" else "[^/]")
            kind = "regexp"
        elif char in _ESCAPED:
            source.append(f"\\{char}")
        elif char == "\\":
            # A last backslash escapes the dollar that is put behind all.
            source.append(chars[at - 1 : at + 1])
            kind = "regexp"
            at += 1
        else:
            source.append(char)
            kind = "regexp" if char in "[]" else kind
    return kind, "".join(source)
