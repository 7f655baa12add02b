"""What counts as an answer of the engine; the answers themselves are in the contract tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unstale.adapters import engine

ABSENT = '{"message":"No such image: none:latest"}'


def _response(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@contextmanager
def _serving(path: Path, answer: Callable[[str], bytes]) -> Iterator[list[str]]:
    """An engine at *path* for one connection; the paths that were asked for."""
    asked: list[str] = []

    def serve() -> None:
        link, _ = listener.accept()
        with link, link.makefile("rb") as lines:
            while request := lines.readline().decode():
                while lines.readline().strip():
                    pass
                asked.append(request.split()[1])
                if not (said := answer(asked[-1])):
                    return  # an engine that dies
                link.sendall(said)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join(timeout=10)


def test_names_are_asked_for_over_one_connection_and_absent_ones_are_left_out(
    tmp_path: Path,
) -> None:
    def answer(path: str) -> bytes:
        absent = _response("404 Not Found", ABSENT)
        return absent if "none" in path else _response("200 OK", '{"Id":"i"}')

    with _serving(tmp_path / "s", answer) as asked:
        found = engine.images(str(tmp_path / "s"), ("example.com:5000/a b:1", "none", "x@sha256:1"))

    assert found == {"example.com:5000/a b:1": {"Id": "i"}, "x@sha256:1": {"Id": "i"}}
    assert asked == [
        "/images/example.com:5000/a%20b:1/json?manifests=1",
        "/images/none/json?manifests=1",
        "/images/x@sha256:1/json?manifests=1",
    ]


@pytest.mark.parametrize(
    "odd",
    [
        _response("404 Not Found", '{"message":"page of no route"}'),
        _response("404 Not Found", "not JSON"),
        _response("200 OK", "[]"),
        _response("200 OK", '{"message":"no id"}'),
        _response("500 Internal Server Error", '{"message":"No such image, or so"}'),
        _response("400 Bad Request", '{"message":"client version is too old"}'),
        b"not HTTP at all\r\n\r\n",
        b"",
    ],
)
def test_an_odd_answer_is_none(tmp_path: Path, odd: bytes) -> None:
    with _serving(tmp_path / "s", lambda _path: odd):
        assert engine.images(str(tmp_path / "s"), ("app",)) is None


def test_no_engine_is_no_answer(tmp_path: Path) -> None:
    assert engine.images(str(tmp_path / "none"), ("app",)) is None


def test_no_name_needs_no_engine(tmp_path: Path) -> None:
    assert engine.images(str(tmp_path / "none"), ()) == {}
