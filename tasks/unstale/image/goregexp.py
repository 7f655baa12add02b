r"""Go's regular expressions in Python's, as far as a .dockerignore reaches them. Pure.

The builder turns patterns into Go regular expressions without complete
escaping, so ``\d`` means a digit, ``x{2}`` two of them, and ``[[:alpha:]]`` a
letter. Read here is what can come out of that; where Go's answer hangs on the
version of its Unicode tables, nothing is guessed.

Source: Go's package ``regexp/syntax``, flags ``Perl``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["BadRegexp", "compile_search"]

# Inclusive ranges of code points.
Ranges = list[tuple[int, int]]

_LAST_RUNE = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_MOST_REPEATS = 1000
# Far below the size at which Go gives up, which is not computed here.
_MOST_COPIES = 100_000

_DIGIT: Ranges = [(0x30, 0x39)]
_LOWER: Ranges = [(0x61, 0x7A)]
_UPPER: Ranges = [(0x41, 0x5A)]
_WORD = [*_DIGIT, *_UPPER, (0x5F, 0x5F), *_LOWER]
_PERL: dict[str, Ranges] = {
    "d": _DIGIT,
    "s": [(0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20)],  # without \v, which Python has
    "w": _WORD,
}
_NAMED: dict[str, Ranges] = {
    "alnum": [*_DIGIT, *_UPPER, *_LOWER],
    "alpha": [*_UPPER, *_LOWER],
    "ascii": [(0x00, 0x7F)],
    "blank": [(0x09, 0x09), (0x20, 0x20)],
    "cntrl": [(0x00, 0x1F), (0x7F, 0x7F)],
    "digit": _DIGIT,
    "graph": [(0x21, 0x7E)],
    "lower": _LOWER,
    "print": [(0x20, 0x7E)],
    "punct": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)],
    "space": [(0x09, 0x0D), (0x20, 0x20)],
    "upper": _UPPER,
    "word": _WORD,
    "xdigit": [*_DIGIT, (0x41, 0x46), (0x61, 0x66)],
}
_SAME = {"^": r"\A", "$": r"\Z", ".": "."}
_ASSERTIONS = {"A": r"\A", "b": r"\b", "B": r"\B", "z": r"\Z"}
_CONTROLS = {"a": 0x07, "f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09, "v": 0x0B}
_OPERATORS = {"*": (0, None), "?": (0, 1)}

_COUNTS = re.compile(r"\{(0|[1-9][0-9]*)(,(0|[1-9][0-9]*)?)?\}")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
_HEX = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\})")
_CLASS_NAME = re.compile(r"\[:(.*?):\]", re.DOTALL)


class BadRegexp(ValueError):
    """Go refuses it, or reads it in a way that is not reproduced."""


def compile_search(source: str) -> re.Pattern[str]:
    """A pattern whose ``search`` finds what Go's ``MatchString`` of *source* does.

    The text to search must be decoded as Go does: U+FFFD for each byte that is
    not UTF-8.

    Raises:
        BadRegexp: see there.

    """
    reader = _Reader(source)
    try:
        text = reader.alternatives()
        if reader.at < len(source):
            raise BadRegexp("a parenthesis is never opened")
        # ASCII: Go's \b knows no other letters.
        return re.compile(text, re.ASCII)
    except RecursionError:  # Go gives up at a depth of 1000
        raise BadRegexp("its parentheses are nested too deeply") from None


@dataclass(slots=True)
class _Atom:
    """What a repetition would repeat: its Python text, and how often it is repeated by now."""

    text: str
    copies: int = 1


@dataclass(slots=True)
class _Reader:
    source: str
    at: int = 0
    copies: int = 0

    def alternatives(self) -> str:
        """Read up to a closing parenthesis, or to the end."""
        branches = [self._branch()]
        while self._take("|"):
            branches.append(self._branch())
        return "|".join(branches)

    def _branch(self) -> str:
        atoms: list[_Atom] = []
        repeated = False
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            counts = self._repetition()
            if counts is None:
                atoms.extend(self._atoms())
            else:
                if repeated or not atoms:
                    raise BadRegexp("a repetition has nothing to repeat")
                atoms[-1] = self._repeat(atoms[-1], *counts)
            repeated = counts is not None
        return "".join(atom.text for atom in atoms)

    def _repetition(self) -> tuple[int, int | None] | None:
        char = self.source[self.at]
        if char in _OPERATORS:
            self.at += 1
            return _OPERATORS[char]
        found = _COUNTS.match(self.source, self.at)
        if not found:
            return None
        self.at = found.end()
        least = _count(found[1])
        most = least if found[2] is None else _count(found[3]) if found[3] else None
        if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
            raise BadRegexp("a repetition's count is out of range")
        return least, most

    def _repeat(self, atom: _Atom, least: int, most: int | None) -> _Atom:
        times = max(least if most is None else most, 1)
        copies = atom.copies * times
        self.copies += copies
        if copies > _MOST_REPEATS or self.copies > _MOST_COPIES:
            raise BadRegexp("it repeats too often")
        return _Atom(f"(?:{atom.text}){{{least},{'' if most is None else most}}}", copies)

    def _atoms(self) -> list[_Atom]:
        r"""One atom; ``\Q...\E`` holds as many as it has characters."""
        char = self.source[self.at]
        self.at += 1
        match char:
            case "\\":
                return self._escaped()
            case "(":
                text = f"(?:{self.alternatives()})"
                if not self._take(")"):
                    raise BadRegexp("a parenthesis is never closed")
            case "[":
                text = self._class()
            case _:
                text = _SAME.get(char) or re.escape(char)
        return [_Atom(text)]

    def _escaped(self) -> list[_Atom]:
        char = self.source[self.at : self.at + 1]
        if char == "Q":
            literal, _, rest = self.source[self.at + 1 :].partition(r"\E")
            self.at = len(self.source) - len(rest)
            return [_Atom(re.escape(each)) for each in literal]
        if char in _ASSERTIONS:
            self.at += 1
            return [_Atom(_ASSERTIONS[char])]
        group = self._group()
        return [_Atom(_spell(group if group is not None else [(self._rune(),) * 2]))]

    def _class(self) -> str:
        negated = self._take("^")
        members: Ranges = []
        first = True
        while first or not self._take("]"):
            first = False
            members += self._named() or self._member()
        return _spell(_negate(members) if negated else members)

    def _named(self) -> Ranges | None:
        found = _CLASS_NAME.match(self.source, self.at)
        if not found:
            return None
        self.at = found.end()
        name = found[1].removeprefix("^")
        if name not in _NAMED:
            raise BadRegexp(f"there is no class named {name!r}")
        return _negate(_NAMED[name]) if found[1].startswith("^") else _NAMED[name]

    def _member(self) -> Ranges:
        if self._take("\\"):
            group = self._group()
            if group is not None:
                return group
            low = self._rune()
        else:
            low = self._literal()
        rest = self.source[self.at : self.at + 2]
        if len(rest) < 2 or rest[0] != "-" or rest[1] == "]":
            return [(low, low)]
        self.at += 1
        high = self._rune() if self._take("\\") else self._literal()
        if high < low:
            raise BadRegexp("a range in a character class runs backwards")
        return [(low, high)]

    def _literal(self) -> int:
        if self.at >= len(self.source):
            raise BadRegexp("a character class is never closed")
        self.at += 1
        return ord(self.source[self.at - 1])

    def _group(self) -> Ranges | None:
        r"""The set that the escape after a backslash stands for, such as ``\d``."""
        char = self.source[self.at : self.at + 1]
        if char in ("p", "P"):
            raise BadRegexp("which characters a Unicode class holds depends on the builder")
        if char.lower() not in _PERL:
            return None
        self.at += 1
        members = _PERL[char.lower()]
        return members if char.islower() else _negate(members)

    def _rune(self) -> int:
        """The one character that the escape after a backslash stands for."""
        rest = self.source[self.at : self.at + 1]
        if octal := _OCTAL.match(self.source, self.at):
            self.at = octal.end()
            return int(octal[0], 8)
        if found := _HEX.match(self.source, self.at):
            self.at = found.end()
            return _scalar(int(found[1] or found[2], 16))
        if not rest or not rest.isascii() or (rest.isalnum() and rest not in _CONTROLS):
            raise BadRegexp(f"a backslash before {rest!r} means nothing to Go")
        self.at += 1
        return _CONTROLS.get(rest, ord(rest))

    def _take(self, char: str) -> bool:
        taken = self.source.startswith(char, self.at)
        self.at += taken
        return taken


def _count(digits: str) -> int:
    # Python turns no more than 4,300 digits into a number.
    return int(digits) if len(digits) < 5 else _MOST_REPEATS + 1


def _scalar(rune: int) -> int:
    # Go's optimizer writes a surrogate as U+FFFD, and then finds that.
    if rune > _LAST_RUNE or rune in _SURROGATES:
        raise BadRegexp("it names a character that there can't be")
    return rune


def _negate(members: Iterable[tuple[int, int]]) -> Ranges:
    out: Ranges = []
    after = 0
    for low, high in sorted(members):
        if low > after:
            out.append((after, low - 1))
        after = max(after, high + 1)
    if after <= _LAST_RUNE:
        out.append((after, _LAST_RUNE))
    return out


def _spell(members: Ranges) -> str:
    if not members:
        return "(?!)"
    if (char := _single(members)) is not None:
        return char
    if (char := _single(_negate(members))) is not None:
        return f"[^{char}]"
    return f"[{''.join(f'{_quote(low)}-{_quote(high)}' for low, high in members)}]"


def _single(members: Ranges) -> str | None:
    return _quote(members[0][0]) if len({rune for pair in members for rune in pair}) == 1 else None


def _quote(rune: int) -> str:
    return re.escape(chr(rune))
