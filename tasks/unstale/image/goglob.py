"""Go's ``filepath.Match`` for one path segment. Pure."""

from __future__ import annotations

import re

__all__ = ["BadPattern", "has_magic", "refuse_as_matching_a_dot", "translate"]


class BadPattern(ValueError):
    """What Go answers with ``ErrBadPattern``."""


def has_magic(pattern: str) -> bool:
    """Whether BuildKit takes *pattern* as a wildcard."""
    return any(char in pattern for char in "*?[\\")


def translate(pattern: str) -> re.Pattern[str]:
    """A pattern for ``fullmatch`` against names.

    ``[^a]`` negates and ``[!a]`` does not; ``*`` also matches a leading dot.

    Raises:
        BadPattern: the pattern is malformed, wherever in it that is.

    """
    chunks = [""]  # what is between the stars
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            chunks += [""] if chunks[-1] or len(chunks) == 1 else []
        elif char == "?":
            chunks[-1] += "[^/]"
        elif char == "[":
            text, at = _class(pattern, at)
            chunks[-1] += text
        elif char == "\\":
            if at == len(pattern):
                raise BadPattern("a backslash at the end escapes nothing")
            chunks[-1] += re.escape(pattern[at])
            at += 1
        else:
            chunks[-1] += re.escape(char)
    first, *others = chunks
    # Of a chunk that another star follows the first place is as good as any: without
    # that, the time would grow with a power of the number of stars.
    middle = "".join(f"(?>[^/]*?{chunk})" for chunk in others[:-1])
    return re.compile(first + middle + "".join(f"[^/]*{c}" for c in others[-1:]), re.DOTALL)


def refuse_as_matching_a_dot(pattern: str) -> None:
    """Raise BadPattern where ``filepath.Match(pattern, ".")`` fails.

    Go looks at what is between two stars as a whole, but no further than the
    name matches: it refuses ``.*[`` and takes ``a*[``.
    """
    first, at = _chunk(pattern, 0)
    if translate(first).fullmatch("."):
        translate(_chunk(pattern, at)[0])


def _chunk(pattern: str, at: int) -> tuple[str, int]:
    """What is between the stars at *at* and the next one; and where that is."""
    while pattern.startswith("*", at):
        at += 1
    start, in_class = at, False
    while at < len(pattern) and (in_class or pattern[at] != "*"):
        in_class = pattern[at] == "[" or (in_class and pattern[at] != "]")
        at += 2 if pattern[at] == "\\" else 1
    return pattern[start:at], at


def _class(pattern: str, at: int) -> tuple[str, int]:
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[str] = []
    count = 0
    foreign = False
    while count == 0 or pattern[at] != "]":
        low, at = _rune(pattern, at)
        high = low
        if pattern[at] == "-":
            high, at = _rune(pattern, at + 1)
        # Go reads each byte that is not UTF-8 as U+FFFD; here it is a surrogate.
        foreign = foreign or low <= "\ufffd" <= high
        ranges += [
            f"{re.escape(start)}-{re.escape(end)}"
            for start, end in ((low, min(high, "\ud7ff")), (max(low, "\ue000"), high))
            if start <= end
        ]
        count += 1
    ranges += ["\udc80-\udcff"] * foreign
    if not ranges:  # such as [b-a], which holds nothing
        return ("[\\s\\S]" if negated else "(?!)"), at + 1
    return f"[{'^' if negated else ''}{''.join(ranges)}]", at + 1


def _rune(pattern: str, at: int) -> tuple[str, int]:
    """One member of a class; something must follow it, at least the bracket."""
    if at < len(pattern) and pattern[at] == "\\":
        at += 1
    elif pattern[at : at + 1] in ("-", "]"):
        raise BadPattern("a character class is malformed")
    if at + 1 >= len(pattern):
        raise BadPattern("a character class is never closed")
    if "\udc80" <= pattern[at] <= "\udcff":
        raise BadPattern("a character class holds a byte that is not UTF-8")
    return pattern[at], at + 1
