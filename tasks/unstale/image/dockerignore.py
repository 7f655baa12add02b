r"""What a .dockerignore leaves out of the build context. Pure.

A port of what BuildKit does, its oddities included: patterns are turned into Go
regular expressions without complete escaping, so ``a^b*`` never matches and
``\d*`` means a digit. Where Go and Python could disagree, it refuses to guess.

Source: moby/patternmatcher (``PatternMatcher.MatchesUsingParentResults``,
``ignorefile.ReadAll``) and tonistiigi/fsutil (``filter.go``).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from unstale.errors import CouldNotTell
from unstale.image import goglob

__all__ = ["Rule", "excluded", "may_hold_exceptions", "parse", "step"]

# bufio.Scanner gives up on a longer line, and the build fails.
_LONGEST_LINE_BYTES = 64 * 1024

# unicode.IsSpace of Go; str.strip() would also strip U+001C to U+001F.
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + "\u2028\u2029\u202f\u205f\u3000"
)

# `|`, `{` and `}` are in the list too, but its bitmap has no room for bytes
# above 63: Go's own table leaves them unescaped.
_ESCAPED = frozenset(".+()$")

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


def parse(text: str) -> tuple[Rule, ...]:
    """Read a .dockerignore; *text* is decoded with ``surrogateescape``.

    Raises:
        CouldNotTell: a pattern that the build would refuse, or one whose
            meaning in Go's regular expressions is not reproduced here.

    """
    lines = text.removeprefix("\ufeff").split("\n")
    return tuple(rule for line in lines if (rule := _rule(line)) is not None)


def excluded(path: PurePosixPath, rules: Sequence[Rule]) -> bool:
    """Say whether *path*, relative to the context root, is left out.

    The last matching rule wins; a rule that matches a folder matches what is
    in it. A folder that is left out can still hold files that are not.
    """
    out, matched = False, (False,) * len(rules)
    for folder in (*reversed(path.parents), path):
        if folder != PurePosixPath():
            out, matched = step(str(folder), rules, matched)
    return out


def step(path: str, rules: Sequence[Rule], parent: Sequence[bool]) -> tuple[bool, tuple[bool, ...]]:
    """Judge *path* by what each rule said of the folder it is in.

    Returns whether it is left out, and what each rule said, for its children.
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


def may_hold_exceptions(folder: str, rules: Sequence[Rule]) -> bool:
    """Whether a folder that is left out must be entered all the same."""
    exceptions = [_without_trailing_glob(rule.pattern) for rule in rules if rule.exception]
    if any(set(pattern) & set("*[]?^\\") for pattern in exceptions):
        return True
    return any(f"{pattern}/".startswith(f"{folder}/") for pattern in exceptions)


def _without_trailing_glob(pattern: str) -> str:
    return pattern.removesuffix("/**").removesuffix("/*")


def _rule(line: str) -> Rule | None:
    if len(line.encode(errors="surrogateescape")) >= _LONGEST_LINE_BYTES:
        raise CouldNotTell("A line of the .dockerignore is longer than 64 KiB.")
    if line.startswith("#"):
        return None
    pattern = line.strip(_SPACE)
    if not pattern:
        return None
    exception = pattern.startswith("!")
    if exception:
        pattern = pattern[1:].strip(_SPACE)
    if not pattern:
        raise _bad(line, "it brings nothing back")
    pattern = _clean(pattern)
    try:
        goglob.translate(pattern)
        kind, regexp = _compile(pattern)
    except (goglob.BadPattern, re.error) as error:
        raise _bad(line, str(error)) from error
    return Rule(pattern, exception, kind, regexp)


def _bad(line: str, why: str) -> CouldNotTell:
    return CouldNotTell(
        f"The .dockerignore has a pattern that can't be applied: {line.strip()!r}.",
        cause=f"{why[:1].upper()}{why[1:]}.",
        hint="write the pattern in another way",
    )


def _clean(pattern: str) -> str:
    # path.Clean; Python keeps two leading slashes, Go one.
    cleaned = posixpath.normpath(re.sub("^/+", "/", pattern))
    return cleaned[1:] if len(cleaned) > 1 and cleaned[0] == "/" else cleaned


def _runes(text: str) -> str:
    # Go decodes a byte that is not UTF-8 to U+FFFD, in patterns and in paths.
    return re.sub("[\udc80-\udcff]", "\ufffd", text)


def _compile(pattern: str) -> tuple[Kind, re.Pattern[str] | None]:
    """Classify *pattern* as ``Pattern.compile`` does."""
    kind: Kind = "exact"
    source: list[str] = ["^"]
    chars = _runes(pattern).removeprefix("\ufeff")
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
            source.append(chars[at - 1 : at + 1])
            kind = "regexp"
            at += 1
        else:
            source.append(char)
            kind = "regexp" if char in "[]" else kind
    if kind != "regexp":
        return kind, None
    return kind, re.compile(_python_regexp("".join(source) + "$"), re.ASCII)


_GO_CLASSES = {
    "d": "0-9",
    "w": "0-9A-Za-z_",
    "s": r"\t\n\f\r ",  # without \v, which Python has
}
_GO_CONTROLS = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_REPEAT = re.compile(r"\{\d+(,\d*)?\}")


def _python_regexp(source: str) -> str:
    """The Python spelling of a Go regular expression that `_compile` wrote."""
    out: list[str] = []
    at = 0
    while at < len(source):
        char = source[at]
        if char == "[":
            text, at = _character_class(source, at)
            out.append(text)
            continue
        if char == "\\":
            out.append(_escape(source[at + 1], inside=False))
            at += 2
            continue
        if char == "{" and _REPEAT.match(source, at):
            raise goglob.BadPattern("Go reads braces with numbers as a repetition")
        # `^`, `|`, and what _compile wrote itself, mean the same in both.
        out.append({"$": r"\Z"}.get(char, char if char in "^|.*()?" else re.escape(char)))
        at += 1
    return "".join(out)


def _escape(char: str, *, inside: bool) -> str:
    if char.lower() in _GO_CLASSES and (char.islower() or not inside):
        members = _GO_CLASSES[char.lower()]
        if inside:
            return members
        return f"[{'' if char.islower() else '^'}{members}]"
    if char in _GO_CONTROLS:
        return re.escape(_GO_CONTROLS[char])
    if char.isalnum() or ord(char) > 127:
        raise goglob.BadPattern(f"an escaped {char!r} means something else to Go")
    return re.escape(char)


def _character_class(source: str, at: int) -> tuple[str, int]:
    """Translate the class that begins at *at*; returns it and where it ends."""
    end = at + 1
    negated = source[end : end + 1] == "^"
    end += negated
    members: list[str] = []
    while end < len(source) and (source[end] != "]" or not members):
        if source.startswith("[:", end) and ":]" in source[end + 2 :]:
            raise goglob.BadPattern("Go reads [: :] as a named class")
        low, end = _member(source, end)
        if source[end : end + 1] == "-" and source[end + 1 : end + 2] not in ("]", ""):
            high, end = _member(source, end + 1)
            low = f"{low}-{high}"
        members.append(low)
    if end >= len(source):
        raise goglob.BadPattern("a [ is never closed")
    return f"[{'^' if negated else ''}{''.join(members)}]", end + 1


def _member(source: str, at: int) -> tuple[str, int]:
    if source[at] == "\\":
        return _escape(source[at + 1], inside=True), at + 2
    return "\\" + source[at] if source[at] in r"[]^-&|~\\" else re.escape(source[at]), at + 1
