"""What pytest prints, and its JUnit file does not tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Stop", "complaints", "deselected", "has_workers", "node_ids", "stop"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ENDED = re.compile(r"\b(?:\d+ \w+|no tests ran)\b.* in \d+(?:\.\d+)?s\b")
_DESELECTED = re.compile(r"\b(\d{1,9}) deselected\b")
_WORKERS = re.compile(r"^(?:bringing up nodes|\d+ workers? \[)", re.MULTILINE)
# Of pytest.exit: at the end of a session, and before it has begun.
_EXITS = (
    re.compile(r"^!+ _pytest\.outcomes\.Exit: (.*?) !+$", re.MULTILINE | re.DOTALL),
    re.compile(r"^Exit: (.+)$", re.MULTILINE),
)
_SEPARATOR = re.compile(r"^(?:={3,}|!{3,}|-{3,})")
# What our plugin prints where it changes the exit code of a session that goes on to its end.
_SECTIONS = {"unstale: the database": "", "unstale: schema": "unstale stopped the session:"}


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a session was ended, or is not to be believed."""

    what: str
    cause: str
    hint: str
    """What to do next, if it says so."""


def node_ids(output: str) -> Mapping[str, str]:
    """What can be typed to run each test that failed, by the name that JUnit has for it.

    A JUnit name does not say where the file's path ends. The summary does, but not where
    the name ends: a parameter may have " - " in it. Together they tell.
    """
    return {_junit_name(one): one for one in _candidates(output)}


def _candidates(output: str) -> Iterator[str]:
    for line in _plain(output):
        word, _, rest = line.partition(" ")
        if word in ("FAILED", "ERROR"):
            parts = rest.split(" - ")
            yield from (" - ".join(parts[: n + 1]) for n in range(len(parts)))


def _junit_name(node_id: str) -> str:
    """As pytest writes it: ``tests.test_a.TestB::test_c[d]``."""
    address, bracket, parameters = node_id.partition("[")
    path, *names = address.split("::")
    module = path.replace("/", ".").removesuffix(".py")
    *owners, name = module, *names
    return f"{'.'.join(owners)}::{name}{bracket}{parameters}".strip(":")


def deselected(output: str) -> int:
    """How many tests the last line says were collected and not asked for."""
    last = next((line for line in reversed(_plain(output)) if _ENDED.search(line)), "")
    found = _DESELECTED.search(last)
    return int(found[1]) if found else 0


def has_workers(output: str) -> bool:
    """Whether xdist ran: it does not tell how many tests were deselected."""
    return _WORKERS.search("\n".join(_plain(output))) is not None


def stop(output: str) -> Stop | None:
    """Why the session was ended by ``pytest.exit``, or found wrong by the pytest plugin."""
    lines = _plain(output)
    text = "\n".join(lines)
    exits = (found[1] for pattern in _EXITS if (found := pattern.search(text)))
    said = (_section(lines, title, begin) for title, begin in _SECTIONS.items())
    message = next(exits, "") or "\n".join(filter(None, said))
    if not message:
        return None
    before, _, after = message.partition("\nNext: ")
    what, _, cause = before.partition("\n")
    hint, _, more = after.partition("\n")
    return Stop(what, "\n".join(filter(None, (cause, more))), hint)


def _section(lines: Sequence[str], title: str, begin: str) -> str:
    """The plugin's section *title*, from the line that begins with *begin* on."""
    found: list[str] = []
    is_in = False
    for line in lines:
        if _SEPARATOR.match(line) or _ENDED.match(line):
            is_in = line.strip("= ") == title
        elif is_in and (found or line.startswith(begin)):
            found.append(line)
    return "\n".join(found).strip()


def complaints(output: str) -> str:
    """Why pytest did not begin: a wrong option, a path that is not there."""
    return "\n".join(line for line in _plain(output) if line.startswith("ERROR: "))


def _plain(output: str) -> list[str]:
    return _COLOUR.sub("", output).splitlines()
