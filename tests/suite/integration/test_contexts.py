"""The engine at another socket than the usual one: by a docker context, by DOCKER_HOST."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from harness import Checkout
from lightstack import behave, fresh, overlay

ENGINE = "/var/run/docker.sock"
ASKS = """
import os, pathlib, urllib.request
address = os.environ["UNSTALE_DB_8000"]
assert address.startswith("localhost:"), address
assert urllib.request.urlopen(f"http://{address}", timeout=10).read() == b"ok"
pathlib.Path("junit.xml").write_text('<testsuite><testcase classname="a" name="b"/></testsuite>')
"""


class Relay:
    """An engine's socket elsewhere, which hands all on to the real one and counts."""

    def __init__(self, listener: socket.socket) -> None:
        self.connections = 0
        self._listener = listener
        listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                here, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(here,), daemon=True).start()

    def _serve(self, here: socket.socket) -> None:
        with here, socket.socket(socket.AF_UNIX) as there:
            there.connect(ENGINE)
            back = threading.Thread(target=self._copy, args=(there, here), daemon=True)
            back.start()
            self._copy(here, there)
            back.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        # The other way goes on: `docker exec` closes its input first.
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def colima(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Relay]:
    """A context as Colima makes one, in use; its socket's path is as odd as there."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    # Shorter than a path of pytest's: a socket's has 107 bytes at most.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / ".colima" / "default" / "docker.sock"
        path.parent.mkdir(parents=True)
        listener.bind(str(path))
        for words in (("create", "colima", "--docker", f"host=unix://{path}"), ("use", "colima")):
            subprocess.run(("docker", "context", *words), check=True, capture_output=True)
        with Relay(listener) as relay:
            yield relay


@pytest.fixture
def light(tmp_path: Path) -> Iterator[Checkout]:
    """The light stack, removed over the usual socket whatever became of the other."""
    checkout = fresh(tmp_path)
    behave(checkout, LIGHT_SECONDS="0.2")
    yield checkout
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
            patch.delenv(name, raising=False)
        checkout.sweep()
        checkout.inv("image.clean", "--yes").must(0)


def test_a_run_goes_where_the_context_says_and_nowhere_else(colima: Relay, light: Checkout) -> None:
    light.inv("test.integration").must(0)
    assert colima.connections > 10
    assert light.leftovers() == []

    colima.close()
    gone = light.inv("image.status").must(5)
    assert "The Docker engine is not running." in gone.text
    assert ".colima/default/docker.sock" in gone.text


@pytest.mark.long
def test_ports_are_on_the_machine_that_docker_host_names(
    light: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sibling is unit/test_engine_machine.py: addresses of an engine elsewhere."""
    overlay(light, db={"ports": ["8000"]})
    light.replace("pyproject.toml", 'runner = "test-runner"', 'runner = "host"')
    light.replace("pyproject.toml", "/app/reports/junit.xml", "junit.xml")
    light.replace("pyproject.toml", '"python", "/app/check.py"', f'"{sys.executable}", "asks.py"')
    (light.root / "asks.py").write_text(ASKS)
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        with Relay(listener) as relay:
            monkeypatch.setenv("DOCKER_HOST", f"tcp://localhost:{listener.getsockname()[1]}")
            light.inv("test.integration", env={"UNSTALE_TRUST": "1"}).must(0)

    assert relay.connections > 10
