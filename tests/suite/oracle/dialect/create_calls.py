"""What `docker run --env-file` sends: the real command, and an engine that only listens."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

from dialects import SHELL, Values


class Listener(UnixStreamServer):
    """An engine that creates no container and keeps what was asked for."""

    asked: list[str]


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def address_string(self) -> str:
        return ""  # a Unix socket has no address to log

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(200, b"")

    do_GET = do_HEAD  # noqa: N815 - the base class looks for this name

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked = body["Env"] or []
        self._answer(201, b'{"Id": "0", "Warnings": []}')

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Api-Version", "1.43")
        self.send_header("OSType", "linux")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def listening(folder: Path) -> Iterator[Listener]:
    with Listener(str(folder / "s"), _Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def docker_run_values(server: Listener, path: Path) -> Values | None:
    """The variables that the command asks the engine for; None if it refuses the file."""
    server.asked = []
    done = subprocess.run(
        ("docker", "create", "--env-file", str(path), "x"),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(path.parent),
            "DOCKER_HOST": f"unix://{server.server_address!s}",
            **SHELL,
        },
        capture_output=True,
        check=False,
    )
    if done.returncode:
        assert b"Cannot connect" not in done.stderr
        return None
    pairs: Mapping[str, str] = dict(one.split("=", 1) for one in server.asked if "=" in one)
    return pairs
