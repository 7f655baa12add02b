"""Adding to an env file the keys that it lacks: a plan, and an edit of text. Pure.

Nothing is removed, reordered or rewritten. A value comes from the example
alone, never from another environment, and a secret's from nowhere: it becomes
a placeholder that is commented out. A line is added only if compose and
python-dotenv read the same in it; tests/suite/oracle/dialect proves the rules.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unstale.mask import Mask, is_secret, mask_for
from unstale.parity import envfile, keys

__all__ = [
    "Addition",
    "Document",
    "SyncPlan",
    "Unwritable",
    "apply",
    "assignment",
    "load",
    "plan",
    "preview",
]


@dataclass(frozen=True, slots=True)
class Document:
    """An env file as text, of which every character counts."""

    path: Path
    text: str = field(repr=False)
    """With its byte order mark and its line ends."""


_NO_NAME = "it may be a piece of a value"


@dataclass(frozen=True, slots=True)
class Unwritable:
    """A key whose value no line gives to both dialects."""

    key: str
    """What it is called: not by its name where that looks like a piece of a value."""
    reason: str


@dataclass(frozen=True, slots=True)
class Addition:
    """A key to be added, with what stands above it."""

    key: str
    at: int
    """The offset in the text behind which it comes."""
    above: tuple[str, ...]
    """Comment lines of the example, and maybe an empty line before them."""
    line: str = field(repr=False)
    """``KEY=value``, or ``# KEY=`` for a person to fill in."""
    after: str = ""
    """The key that it comes behind; empty for the end of the file."""

    @property
    def is_placeholder(self) -> bool:
        """Whether a person has to fill it in."""
        return self.line.startswith("#")


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What is to be added to one env file, in the order of the text."""

    path: Path
    additions: tuple[Addition, ...]
    refused: tuple[Unwritable, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the file has every key already, if only as a placeholder."""
        return not (self.additions or self.refused)


def load(path: Path) -> Document:
    """Read the env file *path* without changing a character of it.

    Raises:
        MissingFile: it is not there.
        ConfigError: it is no file, or a line is no assignment.
        UsageError: a line has a piece of a value for a key.
        CouldNotTell: we may not read it, or it is encrypted.

    """
    raw = envfile.content(path)
    envfile.parse(path, raw)
    return Document(path, raw.decode())


def plan(target: Document, example: Document | None, siblings: Iterable[str] = ()) -> SyncPlan:
    """What *target* lacks of the keys of *example* and of *siblings*, other environments' keys.

    A key that is there as a comment (``# KEY=``) is not missing: a second run adds nothing.
    """
    segments = _segments(target.text)
    blocks = _blocks(example.text) if example else {}
    places = _places(segments)
    # A line without a name is its own environment's matter.
    others = {key for key in siblings if not keys.is_placeholder(key)}
    found = [*_documented(segments, blocks, places, others)]
    undocumented = sorted(others - blocks.keys() - places.keys())
    found += dict.fromkeys(_undocumented(key, len(target.text)) for key in undocumented)
    additions = [one for one in found if isinstance(one, Addition)]
    refused = tuple(one for one in found if isinstance(one, Unwritable))
    return SyncPlan(target.path, tuple(sorted(additions, key=lambda one: one.at)), refused)


def _undocumented(key: str, at: int) -> Addition | Unwritable:
    if keys.is_value(key):
        return Unwritable("a key of another environment", _NO_NAME)
    return Addition(key, at, (), f"# {key}=")


def apply(text: str, plan: SyncPlan) -> str:
    """*text*, which *plan* was made for, with the additions.

    Line ends are those of *text*, and it ends in one if it did before.
    """
    end = _line_end(text)
    parts, done = [], 0
    for at, lines in _grouped(plan):
        parts += [text[done:at], _inserted(text[:at], lines, end)]
        done = at
    return "".join((*parts, text[done:]))


def preview(
    text: str, plan: SyncPlan, *, show_values: bool = False, mask: Mask | None = None
) -> tuple[str, ...]:
    """What `apply` would do to *text*, like a diff without context.

    Values are not shown, with *show_values* those that are not secret. *mask*
    goes over the comments, which come from the example.
    """
    hide = mask or mask_for({})
    head = (f"--- {plan.path}", f"+++ {plan.path}") if plan.additions else ()
    shown = (line for hunk in _hunks(text, plan, hide, show_values=show_values) for line in hunk)
    left_out = (f"! {one.key}: {one.reason}" for one in plan.refused)
    return (*head, *shown, *left_out)


# How a value is written so that both dialects read it

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_BARE = re.compile(r"[!%&(-\[\]-~]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# A reference is expanded alike by both if it is no more than a name in braces.
_REFERRING = re.compile(r"(?:[ !#%&(-\[\]-z|~]|\$\{[A-Za-z_][A-Za-z0-9_]*\})*")


def assignment(key: str, value: str) -> str | Unwritable:
    """The line that gives *key* the *value* in compose as well as in python-dotenv."""
    if not _NAME.fullmatch(key):
        return Unwritable(key, "its name is not read alike everywhere")
    if _CONTROL.search(value):
        return Unwritable(key, "its value has several lines or control characters")
    if _BARE.fullmatch(value):
        return f"{key}={value}"
    if _fits_single_quotes(value):
        return f"{key}='{value}'"
    if "$" not in value:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{key}="{escaped}"'
    return Unwritable(key, "no quotes keep its `$` for compose and python-dotenv alike")


def _fits_single_quotes(value: str) -> bool:
    # python-dotenv expands ${} within single quotes, and makes one backslash of two there.
    return not ("'" in value or "${" in value or "\\\\" in value or value.endswith("\\"))


def _referring(key: str, value: str) -> str | None:
    """The line that refers to other keys as the example does."""
    if "${" not in value or not _REFERRING.fullmatch(value):
        return None
    return f'{key}="{value}"' if re.search(r"[ #]", value) else f"{key}={value}"


# What the texts have


@dataclass(frozen=True, slots=True)
class _Segment:
    """A piece of an env file: an assignment or a comment, with blank lines before it."""

    key: str
    """Empty for a comment."""
    value: str | None = field(repr=False)
    text: str = field(repr=False)
    end: int
    """The offset behind it."""
    line: int = 0
    """Where it begins behind its blank lines, counted from 1."""

    @property
    def commented(self) -> str:
        """The key of an assignment that is commented out."""
        found = None if self.key else envfile.COMMENTED.match(self.text.strip())
        return found[1] if found else ""

    @property
    def is_after_a_blank(self) -> bool:
        blank = self.text[: len(self.text) - len(self.text.lstrip())]
        return "\n" in blank


@dataclass(frozen=True, slots=True)
class _Block:
    """What the example has for a key."""

    key: str
    value: str | None = field(repr=False)
    """None for a bare key."""
    raw: str = field(repr=False)
    above: tuple[str, ...]
    is_after_a_blank: bool
    is_optional: bool
    """Whether the example has it as a comment."""
    line: int = 0


def _segments(text: str) -> tuple[_Segment, ...]:
    from dotenv.parser import parse_stream

    body = text.removeprefix("\ufeff")
    end, found = len(text) - len(body), []
    for binding in parse_stream(io.StringIO(body, newline="")):
        piece = binding.original.string
        end += len(piece)
        blank = piece[: len(piece) - len(piece.lstrip())]
        line = binding.original.line + len(re.findall(r"\r\n|\n|\r", blank))
        found.append(_Segment(binding.key or "", binding.value, piece, end, line))
    return tuple(found)


def _places(segments: Sequence[_Segment]) -> dict[str, int]:
    """Where each key ends that is there or commented out, which counts less."""
    commented = {one.commented: one.end for one in segments if one.commented}
    return commented | {one.key: one.end for one in segments if one.key}


def _blocks(text: str) -> Mapping[str, _Block]:
    """The example's keys in their order; of duplicates the last one counts."""
    blocks: dict[str, _Block] = {}
    above: list[str] = []
    blank = False
    for one in _segments(text):
        if one.is_after_a_blank:
            above, blank = [], True
        key = one.key or one.commented
        if not key:
            above.append(one.text.strip())
            continue
        optional = not one.key
        raw = one.text.strip()
        if not (optional and key in blocks):
            comments = tuple(filter(None, above))
            blocks[key] = _Block(key, one.value, raw, comments, blank, optional, one.line)
        above, blank = [], False
    return blocks


# Where a key goes, and as what


def _documented(
    segments: Sequence[_Segment],
    blocks: Mapping[str, _Block],
    places: Mapping[str, int],
    siblings: set[str],
) -> Iterator[Addition | Unwritable]:
    headings = {one.text.strip(): one.end for one in segments if not one.key}
    before = "", segments[-1].end if segments else 0
    known = {*siblings, *(key for key, block in blocks.items() if block.value is not None)}
    for key, block in blocks.items():
        if not _is_a_name(block, known):
            if key not in places:
                yield Unwritable(f"{keys.placeholder(block.line)} of the example", _NO_NAME)
        elif key in places:
            before = key, places[key]
        elif not block.is_optional or key in siblings:
            line = _line(block)
            if isinstance(line, Unwritable):
                yield line
                continue
            added = _placed(segments, headings, block, line, before)
            before = key, added.at
            yield added


def _is_a_name(block: _Block, known: set[str]) -> bool:
    if block.value is None and not block.is_optional:
        return keys.of_bare(block.key, known, is_below_a_gap=False) == "name"
    return not keys.is_value(block.key, block.value)


def _placed(
    segments: Sequence[_Segment],
    headings: Mapping[str, int],
    block: _Block,
    line: str,
    before: tuple[str, int],
) -> Addition:
    neighbour, at = before
    # A heading that the file has already is not written again: the key goes under it.
    known = [text for text in block.above if headings.get(text, -1) > at]
    if neighbour and known and block.above[: len(known)] == tuple(known):
        return Addition(block.key, headings[known[-1]], block.above[len(known) :], line, neighbour)
    is_behind_one = not segments or (at == segments[-1].end and not segments[-1].text.strip())
    blank = ("",) if block.is_after_a_blank and not is_behind_one else ()
    return Addition(block.key, at, (*blank, *block.above), line, neighbour)


def _line(block: _Block) -> str | Unwritable:
    key, value = block.key, block.value
    if block.is_optional or is_secret(key, value):
        return f"# {key}="
    if value is None:
        return key
    is_single = re.match(r"[^=]*=\s*'", block.raw) is not None
    line = None if is_single else _referring(key, value)
    return line or assignment(key, value)


# The edit


def _line_end(text: str) -> str:
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def _grouped(plan: SyncPlan) -> Iterator[tuple[int, tuple[str, ...]]]:
    groups: dict[int, list[str]] = {}
    for one in plan.additions:
        groups.setdefault(one.at, []).extend((*one.above, one.line))
    return ((at, tuple(lines)) for at, lines in groups.items())


def _inserted(before: str, lines: Sequence[str], end: str) -> str:
    if before.endswith(("\n", "\r")) or before in ("", "\ufeff"):
        return "".join(line + end for line in lines)
    return "".join(end + line for line in lines)


def _hunks(
    text: str, plan: SyncPlan, hide: Mask, *, show_values: bool
) -> Iterator[tuple[str, ...]]:
    added = 0
    for one in plan.additions:
        line = text.count("\n", 0, one.at) + (text[one.at - 1 : one.at] not in ("", "\n"))
        count = len(one.above) + 1
        where = f" after {one.after}" if one.after else ""
        yield (
            f"@@ -{line},0 +{line + added + 1},{count} @@{where}",
            *(f"+{hide(above)}" for above in one.above),
            f"+{_shown(one, show_values=show_values)}",
        )
        added += count


def _shown(one: Addition, *, show_values: bool) -> str:
    key, has_value, value = one.line.partition("=")
    if show_values or not value:
        # A secret never gets a value at all, so none can be in here.
        return one.line
    return f"{key}{has_value}…"
