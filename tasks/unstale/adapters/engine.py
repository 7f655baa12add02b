"""Asks a local engine over its socket for images: starting docker takes ten times as long.

Whatever is odd is no answer, and docker is asked instead: it knows other hosts
than a socket, proxies and engines of every age.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

from unstale.adapters.docker_words import ABSENT
from unstale.jsontext import read_json

__all__ = ["answer", "greeting", "images"]

_DEADLINE_S = 20.0
_FOUND, _NOT_FOUND = 200, 404


def images(path: str, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]] | None:
    """What the engine at the socket *path* knows of the images *names*, as `docker inspect`.

    One that it does not have is left out. None: it gave no answer.
    """
    link = _Connection(path)
    try:
        answers = {name: _ask(link, name) for name in names}
    # The last two: a length that no answer can have.
    except (OSError, HTTPException, ValueError, OverflowError, MemoryError):
        return None
    finally:
        link.close()
    return {name: answer for name, answer in answers.items() if answer}


def answer(path: str, place: str, deadline_s: float = _DEADLINE_S) -> Any:  # noqa: ANN401 (JSON is of any shape)
    """What the engine at *path*, a socket or ``tcp://``, says at *place*; None: no answer."""
    try:
        link = _link(path, deadline_s)
    except ValueError:  # a port that is none
        return None
    try:
        link.request("GET", place, headers={"Host": "docker"})
        response = link.getresponse()
        text = response.read().decode(errors="replace")
        return read_json(text) if response.status == _FOUND else None
    except (OSError, HTTPException, ValueError, RecursionError, OverflowError, MemoryError):
        return None
    finally:
        link.close()


def greeting(path: str, deadline_s: float = _DEADLINE_S) -> Mapping[str, str] | None:
    """The headers of what the engine at *path* says to a ping; None: no answer."""
    try:
        link = _link(path, deadline_s)
    except ValueError:
        return None
    try:
        link.request("GET", "/_ping", headers={"Host": "docker"})
        response = link.getresponse()
        return {name.lower(): value for name, value in response.getheaders()}
    except (OSError, HTTPException, ValueError, OverflowError, MemoryError):
        return None
    finally:
        link.close()


def _link(path: str, deadline_s: float) -> HTTPConnection:
    """A connection to *path*.

    Raises:
        ValueError: it is an address, and says no port that there can be.

    """
    if not path.startswith("tcp://"):
        return _Connection(path, deadline_s)
    place = urlsplit(path)
    return HTTPConnection(place.hostname or "localhost", place.port, timeout=deadline_s)


def _ask(link: HTTPConnection, name: str) -> Mapping[str, Any]:
    """The image, or nothing if there is none.

    Raises:
        ValueError: the answer is something else.

    """
    place = f"/images/{quote(name, safe='/:@')}/json?manifests=1"
    link.request("GET", place, headers={"Host": "docker"})
    response = link.getresponse()
    answer: Any = read_json(response.read().decode(errors="replace"))
    match response.status, answer:
        case _ if not isinstance(answer, dict):
            raise ValueError
        case (status, {"Id": str()}) if status == _FOUND:
            return dict(answer)
        case (status, {"message": str(words)}) if status == _NOT_FOUND and ABSENT.search(words):
            return {}
        case _:
            raise ValueError


class _Connection(HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, deadline_s: float = _DEADLINE_S) -> None:
        super().__init__("localhost", timeout=deadline_s)
        self._path, self._deadline_s = path, deadline_s

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._deadline_s)
        self.sock.connect(self._path)
