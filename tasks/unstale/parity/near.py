"""Names that are nearly another one: a word more, or a letter wrong. Pure."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

__all__ = ["nearest"]

_MOST_WORDS_MORE = 2
# Words that differ by a letter and mean two things.
_UNLIKE = frozenset({frozenset({"HTTP", "HTTPS"}), frozenset({"READ", "READY"})})


def nearest(name: str, names: Collection[str]) -> str | None:
    """The one of *names* that *name* is most likely meant to be; None if none is near.

    Near are names with the same letters (``DATABASEURL``), those that have one or
    two words more or less (CALLBACK_PORT, CALLBACK_SERVER_PORT), and those with
    one misspelt word. Numbers are no spelling: API_V1 is not API_V2.
    """
    ranked = ((rank, other) for other in names if (rank := _distance(name, other)) is not None)
    return min(ranked, default=(0, None))[1]


def _distance(one: str, other: str) -> int | None:
    """How far apart two names are, 0 first; None if they are not near."""
    left, right = one.upper().split("_"), other.upper().split("_")
    if "".join(left) == "".join(right) or sorted(left) == sorted(right):
        return 0
    if len(left) == len(right):
        return 1 if _is_misspelt(left, right) else None
    shorter, longer = sorted((left, right), key=len)
    more = len(longer) - len(shorter)
    is_part = len(shorter) > 1 and more <= _MOST_WORDS_MORE and _is_within(shorter, longer)
    return 1 + more if is_part else None


def _is_within(shorter: list[str], longer: list[str]) -> bool:
    """Whether *longer* has the words of *shorter* in their order, its last one last."""
    rest = iter(longer)
    return shorter[-1] == longer[-1] and all(word in rest for word in shorter)


def _is_misspelt(left: list[str], right: list[str]) -> bool:
    unlike = [(a, b) for a, b in zip(left, right, strict=True) if a != b]
    return len(unlike) == 1 and frozenset(unlike[0]) not in _UNLIKE and _is_typo(*unlike[0])


def _is_typo(one: str, other: str) -> bool:
    """Whether one letter was left out, added or changed, or two were swapped."""
    if min(len(one), len(other)) < 4 or _digits(one) != _digits(other):
        return False
    shorter, longer = sorted((one, other), key=len)
    if len(longer) - len(shorter) == 1:
        return any(longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer)))
    if len(longer) != len(shorter):
        return False
    wrong = [at for at in range(len(one)) if one[at] != other[at]]
    # Of short words a changed letter makes others: HOST, POST, PORT.
    return (len(wrong) == 1 and len(one) > 4) or _are_swapped(one, other, wrong)


def _are_swapped(one: str, other: str, wrong: list[int]) -> bool:
    is_pair = len(wrong) == 2 and all(b - a == 1 for a, b in pairwise(wrong))
    return is_pair and one[wrong[0]] == other[wrong[1]] and one[wrong[1]] == other[wrong[0]]


def _digits(word: str) -> str:
    return "".join(letter for letter in word if letter.isdigit())
