"""Inputs near to good ones, and far from them: what every test of this folder draws from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from unstale.errors import UnstaleError
from unstale.ports import Command, CommandResult, Line

REPOSITORY = Path(__file__).parents[3]


def only_ours(*documented: type[Exception]) -> suppress:
    """What may be raised: an error with a message of ours, or what the function documents."""
    return suppress(UnstaleError, *documented)


# --- text -----------------------------------------------------------------------

ODD = (
    *("", " ", "\n", "\r", "\r\n", "\t", "\v", "\f", "\0", "\x1b[31m", "\x1c", "\x7f", "\x85"),
    *("\ufeff", "\u2028", "\u2003", "\ud800", "\udc80", "\udfff\ud800", "\U0001f600", "e\u0301"),
    *("0", "-1", "1e999", "NaN", "Infinity", "\u00b2", "\u0663", "9" * 20, "9" * 5000),
    *("'", '"', "\\", "`", "$", "${", "$$", "${A:-", "}", "{", "[", "]", "(", ")", "<", ">", "<<"),
    *(
        "#",
        "!",
        "=",
        "==",
        ":",
        "::",
        ";",
        ",",
        "|",
        "&",
        "*",
        "**",
        "?",
        "@",
        "%",
        "%s",
        "--",
        "/",
    ),
    *("..", "/../", "~", "^", "a", "A_B", "true", "null", "None", "a" * 300, "[" * 3000),
    *("{" * 3000, "(" * 3000, "${" * 3000, '{"a":' * 3000, "<a>" * 3000, "- " * 3000, "!" * 3000),
)
_ANY = st.characters(exclude_categories=())


def texts(seeds: Sequence[str] = (), words: Sequence[str] = ()) -> SearchStrategy[str]:
    """Any text: *seeds* changed in a few places, and *words* in a row."""
    rows = st.lists(st.sampled_from((*words, *words, *ODD)), max_size=12).map("".join)
    return st.one_of(
        *((_changed(tuple(seeds), tuple(words)),) * 2 if seeds else ()),
        rows,
        st.text(_ANY, max_size=40),
    )


def lines(words: Sequence[str], seeds: Sequence[str] = ()) -> SearchStrategy[str]:
    """Texts, of which some have *words* between blanks, in lines."""
    pieces = st.sampled_from((*words, *words, *words, *ODD[:40]))
    line = st.lists(pieces, max_size=6).map(" ".join)
    return st.lists(line, max_size=6).map("\n".join) | texts(seeds, words)


def raw(seeds: Sequence[str] = (), words: Sequence[str] = ()) -> SearchStrategy[bytes]:
    """Any bytes, in the same manner."""
    written = texts(seeds, words)
    return st.one_of(
        written.map(lambda text: text.encode("utf-8", "surrogatepass")),
        written.map(lambda text: text.encode("utf-16", "surrogatepass")),
        written.map(lambda text: text.encode("utf-8", "replace")),
        st.binary(max_size=60),
    )


def of_files(seeds: Sequence[str] = (), words: Sequence[str] = ()) -> SearchStrategy[str]:
    """Texts as they come out of files: a byte that is no UTF-8 is a surrogate."""
    return raw(seeds, words).map(lambda content: content.decode(errors="surrogateescape"))


def paths() -> SearchStrategy[str]:
    """Names of files, odd ones among them; never one that can't be a path."""
    names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
    return names.map(lambda name: f"/p/{name}")


_Change = tuple[int, int, str]
_NUMBER = st.integers(0, 1 << 16)


def _changed(seeds: Sequence[str], words: Sequence[str]) -> SearchStrategy[str]:
    change = st.tuples(_NUMBER, st.integers(0, 4), st.sampled_from((*words, *ODD)))
    return st.builds(_apply, st.sampled_from(seeds), st.lists(change, max_size=4))


def _apply(text: str, changes: Sequence[_Change]) -> str:
    for where, how, piece in changes:
        at = where % (len(text) + 1)
        match how:
            case 0 | 1:
                text = text[:at] + piece + text[at:]
            case 2:
                text = text[:at] + piece + text[at + len(piece) + 1 :]
            case 3:
                text = text[:at]
            case _:
                text = text[:at] + text[at // 2 :]
    return text


# --- JSON -----------------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([1 << 70, 10**400, -1.5, 1e308, float("inf"), float("nan"), *ODD[:30]]),
    st.text(_ANY, max_size=8),
)


def values(keys: Sequence[str] = ("a", "Id", "name")) -> SearchStrategy[Any]:
    """Any JSON; its objects have *keys*, and others."""
    names = st.sampled_from(keys) | st.text(_ANY, max_size=4)

    def grow(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)

    return st.recursive(_SCALARS, grow, max_leaves=6)


def documents(*seeds: Any) -> SearchStrategy[Any]:
    """*seeds* with a few values replaced, removed, or put under another name."""
    keys = tuple(sorted({key for seed in seeds for key in _keys(seed)})) or ("a",)
    change = st.tuples(_NUMBER, st.integers(0, 3), values(keys))
    near = st.builds(_replaced, st.sampled_from(seeds), st.lists(change, max_size=3))
    return st.one_of(near, near, near, values(keys))


def tables(*seeds: Any) -> SearchStrategy[dict[str, Any]]:
    """`documents` that are objects."""
    return documents(*seeds).map(lambda one: one if isinstance(one, dict) else {"a": one})


def json_texts(*seeds: Any) -> SearchStrategy[str]:
    """`documents` as text, and damaged text."""
    written = tuple(json.dumps(seed) for seed in seeds)
    return documents(*seeds).map(json.dumps) | texts(written, ('"', ":", "null", "[]", "{}"))


def _keys(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for key, inner in value.items():
                yield key
                yield from _keys(inner)
        case list():
            for inner in value:
                yield from _keys(inner)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each object or list in *value*, with one of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _replaced(seed: Any, changes: Sequence[tuple[int, int, Any]]) -> Any:
    whole = {"": deepcopy(seed)}
    for where, how, value in changes:
        places = [*_places(whole)]
        holder, key = places[where % len(places)]
        if how == 0 and isinstance(holder, dict) and key:
            del holder[key]
        elif how == 1 and isinstance(holder, dict) and key:
            holder[f"{key}x"] = holder.pop(key)
        else:
            holder[key] = deepcopy(value)
        if "" not in whole:
            return value
    return whole[""]


# --- what others answer -----------------------------------------------------------


@dataclass
class Answers:
    """A `Process` whose commands print what they are told to, in turn."""

    printed: Sequence[CommandResult]
    streamed: bytes = b""
    asked: list[Command] = field(default_factory=list)

    def run(self, command: Command, on_line: Line | None = None) -> CommandResult:
        self.asked.append(command)
        answer = self.printed[(len(self.asked) - 1) % len(self.printed)]
        for line in answer.stdout.splitlines() if on_line else ():
            on_line(line)  # type: ignore[misc]
        return answer

    def stream(self, command: Command) -> Iterator[bytes]:
        self.asked.append(command)
        third = len(self.streamed) // 3 + 1
        yield from (self.streamed[at : at + third] for at in range(0, len(self.streamed), third))


def printed(
    out: SearchStrategy[str], err: SearchStrategy[str] | None = None
) -> SearchStrategy[list[CommandResult]]:
    """Results of a few commands."""
    one = st.builds(
        CommandResult,
        returncode=st.sampled_from([0, 0, 0, 1, 125, -9]),
        stdout=out,
        stderr=err or texts(),
        seconds=st.just(0.1),
    )
    return st.lists(one, min_size=1, max_size=3)


@dataclass
class Texts:
    """A `Files` that only reads."""

    texts: Mapping[Path, str]

    def read_text(self, path: Path) -> str:
        from unstale.errors import MissingFile

        if path not in self.texts:
            raise MissingFile(f"{path} does not exist.")
        return self.texts[path]

    def exists(self, path: Path) -> bool:
        return path in self.texts

    def glob(self, root: Path, pattern: str) -> tuple[Path, ...]:
        return tuple(p for p in sorted(self.texts) if p.parent == root and p.match(pattern))


def repository(*names: str) -> tuple[str, ...]:
    """The texts of files of this repository."""
    return tuple((REPOSITORY / name).read_text(encoding="utf-8") for name in names)


Feed = Callable[[Any], object]
