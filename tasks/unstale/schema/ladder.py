"""The rungs between a database's name and a server that stays; what psql said of them. Pure.

An open port and a green ``pg_isready`` are rungs far below an answered query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from unstale.ports import CommandResult

__all__ = ["QUESTION", "Answer", "Missed", "Rung", "Served", "answer", "together", "unnamed"]


class Rung(Enum):
    """What must hold, lowest first; the value is its name for people."""

    NAME = "name"
    TCP = "tcp"
    PROTOCOL = "protocol"
    AUTH = "auth"
    DATABASE = "database"
    QUERY = "query"
    STABLE = "stable"

    @property
    def likely(self) -> str:
        """Why it is most often missed."""
        return _LIKELY[self]


_LIKELY = {
    Rung.NAME: "The name has no address: its container is not there, or in another network.",
    Rung.TCP: "Nothing listens on its network address: it is still being set up, or it listens "
    "on its socket alone.",
    Rung.PROTOCOL: "The server answers, but takes no connection: it starts, stops or is full.",
    Rung.AUTH: "The server knows no such role with this password. A volume keeps those of its "
    "first start, whatever POSTGRES_USER and POSTGRES_PASSWORD say since.",
    Rung.DATABASE: "The server has no such database, or this role may not use it. A volume keeps "
    "that of its first start, whatever POSTGRES_DB says since.",
    Rung.QUERY: "The server took the connection and did not answer the query.",
    Rung.STABLE: "Its answers are not those of one server that accepts writes.",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A query was answered, by a server that is not in recovery."""

    postmaster: str
    """When the server was started, in its own words: this tells one from another."""


@dataclass(frozen=True, slots=True)
class Missed:
    """The rung that was not reached."""

    rung: Rung
    words: str
    """What was said, without advice; never a password."""
    final: bool = False
    """Whether waiting longer can't help."""

    def __str__(self) -> str:
        return f"{self.rung.value}: {self.words}"


Answer = Served | Missed

QUESTION = "SELECT pg_postmaster_start_time(), pg_is_in_recovery()"
"""What psql is to ask, unaligned (``-At``); `answer` reads the row."""


def answer(result: CommandResult) -> Answer | None:
    """Read what psql said to `QUESTION`; None where its words are of an unknown language."""
    if result.returncode == 0:
        return _served(result.stdout.strip())
    words = result.stderr.strip() or result.stdout.strip()
    return _by_state(words) or _by_words(words)


def together(before: Answer | None, now: Answer) -> Answer:
    """Judge the later of two answers: a server that was replaced between them is not stable."""
    if isinstance(before, Served) and isinstance(now, Served) and before != now:
        return Missed(Rung.STABLE, "the server was started anew between two queries")
    return now


def unnamed(words: str, is_ready: int) -> Missed:
    """The rung of a refusal in words of an unknown language.

    *is_ready* is the exit code of ``pg_isready``, which goes by the server's
    codes: 0 takes connections, 1 does not yet, 2 nobody answered. Not final: it
    can't be told from a server that is full.
    """
    rungs = {0: Rung.AUTH, 1: Rung.PROTOCOL, 2: Rung.TCP}
    return Missed(rungs.get(is_ready, Rung.QUERY), _brief(words))


def _served(row: str) -> Answer:
    postmaster, _, recovering = row.rpartition("|")
    if recovering == "f" and postmaster:
        return Served(postmaster)
    if recovering == "t":
        return Missed(Rung.STABLE, "the server is in recovery: it only reads")
    return Missed(Rung.QUERY, f"an answer that is none: {row[:80]!r}")


# The codes are the same in every language. psql tells them of an open connection
# alone (VERBOSITY=verbose), drivers also of one that was refused.
_STATE = re.compile(r"^(?:\S.*?:\s+)?\S+:\s+(?P<state>(?=[A-Z]*\d)[0-9A-Z]{5}): ", re.MULTILINE)
_STATES = {
    "28000": (Rung.AUTH, True),
    "28P01": (Rung.AUTH, True),
    "3D000": (Rung.DATABASE, True),
    "53300": (Rung.PROTOCOL, False),
    "57P03": (Rung.PROTOCOL, False),
    "57P01": (Rung.STABLE, False),
    "57P02": (Rung.STABLE, False),
}

# Those of libpq (in the language of the client, which is told to speak English) and
# of the server. First match wins: the words of a lower rung may follow as an excuse.
_WORDS = tuple(
    (re.compile(pattern), rung, final)
    for pattern, rung, final in (
        (r"password authentication failed|no password supplied", Rung.AUTH, True),
        (r"pg_hba\.conf (entry|rejects)|authentication failed for user", Rung.AUTH, True),
        (r'role ".*" (does not exist|is not permitted to log in)', Rung.AUTH, True),
        (r'database ".*" does not exist|permission denied for database', Rung.DATABASE, True),
        (r'database ".*" is not currently accepting connections', Rung.DATABASE, True),
        (r"the database system is |too many c|connection slots are", Rung.PROTOCOL, False),
        (r"could not translate host name|Name or service not known", Rung.NAME, False),
        (r"terminating connection due to|connection to server was lost", Rung.STABLE, False),
        (r"server closed the connection|reset by peer|invalid response", Rung.PROTOCOL, False),
        (r"Connection refused|timed out|timeout expired", Rung.TCP, False),
        (r"No route to host|Network is unreachable|could not connect", Rung.TCP, False),
        # The engine's own: the container ends, as the next look at it will tell.
        (r"^Error response from daemon|^OCI runtime exec failed", Rung.TCP, False),
        (r"^ERROR: ", Rung.QUERY, False),
    )
)


def _by_state(words: str) -> Missed | None:
    found = _STATE.search(words)
    if not found:
        return None
    rung, final = _STATES.get(found["state"], (Rung.QUERY, False))
    return Missed(rung, _brief(words), final)


def _by_words(words: str) -> Missed | None:
    return next(
        (
            Missed(rung, _brief(words), final)
            for pattern, rung, final in _WORDS
            if pattern.search(words)
        ),
        None,
    )


def _brief(words: str) -> str:
    """The first line, which says it all, without psql's name."""
    line = words.partition("\n")[0].strip().removeprefix("psql: ").removeprefix("error: ")
    return line or "nothing was said"
