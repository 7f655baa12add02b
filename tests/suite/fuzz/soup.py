"""Inputs near to good ones, and far from them: what every test of this folder draws from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from unstale.errors import UnstaleError
from unstale.ports import Command, CommandResult, Line

T = TypeVar("T")
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


def drawn(make: Callable[[Random], T]) -> SearchStrategy[T]:
    """What *make* makes of chance: a tenth of the time that a strategy of parts takes."""
    return st.integers(0, (1 << 48) - 1).map(lambda seed: make(Random(seed)))


def texts(seeds: Sequence[str] = (), words: Sequence[str] = ()) -> SearchStrategy[str]:
    """Any text: *seeds* changed in a few places, and *words* in a row."""
    pieces = (*words, *words, *ODD)

    def make(chance: Random) -> str:
        if seeds and chance.random() < 0.6:
            return _changed(chance, chance.choice(seeds), pieces)
        return "".join(chance.choices(pieces, k=chance.randrange(12)))

    near = drawn(make)
    return st.one_of(near, near, near, st.text(_ANY, max_size=40))


def lines(words: Sequence[str], seeds: Sequence[str] = ()) -> SearchStrategy[str]:
    """Texts, of which some have *words* between blanks, in lines."""
    pieces = (*words, *words, *words, *ODD[:40])

    def make(chance: Random) -> str:
        rows = (chance.choices(pieces, k=chance.randrange(6)) for _ in range(chance.randrange(7)))
        return "\n".join(map(" ".join, rows))

    return st.one_of(drawn(make), drawn(make), texts(seeds, words))


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
    """Absolute paths, with odd names; none that can't be one."""
    names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
    return names.map(lambda name: f"/p/{name}")


def _changed(chance: Random, text: str, pieces: Sequence[str]) -> str:
    for _ in range(chance.randrange(5)):
        at, piece = chance.randrange(len(text) + 1), chance.choice(pieces)
        match chance.randrange(5):
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

_SCALARS = (
    *(None, True, False, -3, 0, 1, 2, 1 << 70, 10**400, -1.5, 1e308, float("inf"), float("nan")),
    *("", *ODD[:40]),
)


def values(keys: Sequence[str] = ("a", "Id", "name")) -> SearchStrategy[Any]:
    """Any JSON; its objects have *keys*, and others."""
    return drawn(lambda chance: _value(chance, keys))


def documents(*seeds: Any) -> SearchStrategy[Any]:
    """*seeds* with a few values replaced, removed, or put under another name."""
    keys = tuple(sorted({key for seed in seeds for key in _keys(seed)})) or ("a",)

    def make(chance: Random) -> Any:
        if chance.random() < 0.15:
            return _value(chance, keys)
        return _replaced(chance, chance.choice(seeds), keys)

    return drawn(make)


def tables(*seeds: Any) -> SearchStrategy[dict[str, Any]]:
    """`documents` that are objects."""
    return documents(*seeds).map(lambda one: one if isinstance(one, dict) else {"a": one})


def json_texts(*seeds: Any) -> SearchStrategy[str]:
    """`documents` as text, and damaged text."""
    written = tuple(json.dumps(seed) for seed in seeds)
    near = documents(*seeds).map(json.dumps)
    return st.one_of(near, near, texts(written, ('"', ":", "null", "[]", "{}")))


def _keys(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for key, inner in value.items():
                yield key
                yield from _keys(inner)
        case list():
            for inner in value:
                yield from _keys(inner)


def _value(chance: Random, keys: Sequence[str], depth: int = 0) -> Any:
    match chance.randrange(5 if depth < 3 else 2):
        case 0 | 1 | 2:
            return chance.choice(_SCALARS)
        case 3:
            return [_value(chance, keys, depth + 1) for _ in range(chance.randrange(3))]
        case _:
            names = chance.choices((*keys, *ODD[:20]), k=chance.randrange(3))
            return {name: _value(chance, keys, depth + 1) for name in names}


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each object or list in *value*, with one of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _replaced(chance: Random, seed: Any, keys: Sequence[str]) -> Any:
    whole = {"": deepcopy(seed)}
    for _ in range(chance.randrange(4)):
        holder, key = chance.choice([*_places(whole)])
        how = chance.randrange(5) if isinstance(holder, dict) and key else 2
        if how == 0:
            del holder[key]
        elif how == 1:
            holder[f"{key}x"] = holder.pop(key)
        else:
            holder[key] = _value(chance, keys)
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

    @contextmanager
    def started(self, command: Command) -> Iterator[Callable[[], CommandResult]]:
        yield lambda: self.run(command)

    def announce(self, argv: Sequence[str], *, changes: bool) -> None:
        del argv, changes

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
        stderr=texts() if err is None else err,
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

    def read_bytes(self, path: Path) -> bytes:
        return self.read_text(path).encode("utf-8", "surrogatepass")

    def exists(self, path: Path) -> bool:
        return path in self.texts

    def glob(self, root: Path, pattern: str) -> tuple[Path, ...]:
        return tuple(p for p in sorted(self.texts) if p.parent == root and p.match(pattern))


def repository(*names: str) -> tuple[str, ...]:
    """The texts of files of this repository."""
    return tuple((REPOSITORY / name).read_text(encoding="utf-8") for name in names)
