"""A clone of this repository, driven through `inv` as a user drives it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
COMPOSE_FILE = "docker/docker-compose.test.yml"

_LONGEST_S = 400
# A setting of the machine that would reach into the clone.
_FOREIGN = ("UNSTALE_", "COMPOSE_", "PYTEST_", "DOCKER_DEFAULT")


def copy_images_env(root: Path) -> None:
    """Pass on what ./bootstrap found out about base images here, if it had to."""
    written = ROOT / ".unstale" / "images.env"
    if written.exists():
        (root / ".unstale").mkdir(exist_ok=True)
        shutil.copy(written, root / ".unstale" / "images.env")


@dataclass(frozen=True)
class Result:
    """What a command answered."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams: a message's place is the business of another test."""
        return f"{self.out}\n{self.err}"

    @property
    def traceback(self) -> bool:
        """Whether unstale's own shows; those of tests are indented."""
        return any(line.startswith("Traceback") for line in self.text.splitlines())

    def must(self, code: int) -> Result:
        """Require *code*, and show everything where it is another one."""
        assert self.code == code, (
            f"{' '.join(self.argv)}: {self.code}, not {code}\n--- out\n{self.out}"
            f"\n--- err\n{self.err}"
        )
        return self

    def document(self) -> Any:
        """Standard output, which must be exactly one JSON document."""
        sys.path.append(str(Path(__file__).parents[1]))
        from described import require_described

        found = json.loads(self.out)
        require_described(found)
        return found


def docker(*arguments: str, code: int | None = 0) -> Result:
    """Run the real docker; what a test does beside unstale."""
    done = subprocess.run(
        ("docker", *arguments), capture_output=True, text=True, timeout=60, check=False
    )
    result = Result(("docker", *arguments), done.returncode, done.stdout, done.stderr)
    return result if code is None else result.must(code)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command in the clone."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
    if "COVERAGE_PROCESS_START" in kept:
        kept["COVERAGE_FILE"] = str(ROOT / ".coverage")
    return {**kept, **(extra or {})}


class Running:
    """A command that goes on while the test does something to it."""

    def __init__(self, argv: tuple[str, ...], cwd: Path) -> None:
        self.argv = argv
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lines: dict[str, list[str]] = {"out": [], "err": []}
        self._readers = [
            threading.Thread(target=self._read, args=(stream, name), daemon=True)
            for name, stream in (("out", self._process.stdout), ("err", self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, name: str) -> None:
        for line in stream:
            self._lines[name].append(line)
        stream.close()

    def wait_for(self, text: str, within_s: float = 120) -> None:
        """Return when a line of standard error holds *text*."""
        end = time.monotonic() + within_s
        while not any(text in line for line in self._lines["err"]):
            assert self._process.poll() is None, f"ended before {text!r}: {self._lines}"
            assert time.monotonic() < end, f"no {text!r} within {within_s} s: {self._lines}"
            time.sleep(0.05)

    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def interrupt(self) -> None:
        """Press Ctrl-C: the terminal tells the whole foreground group."""
        os.killpg(self._process.pid, signal.SIGINT)

    def send(self, number: int) -> None:
        """Send a signal to the whole group, as a shell or a terminal does."""
        os.killpg(self._process.pid, number)

    def terminate(self) -> None:
        """Ask the process alone to end, as a CI system does."""
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> Result:
        """Wait for the end."""
        try:
            code = self._process.wait(timeout=_LONGEST_S)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(timeout=10)
        return Result(self.argv, code, "".join(self._lines["out"]), "".join(self._lines["err"]))


@dataclass(frozen=True)
class Checkout:
    """A project in a folder whose name no other project of this machine has."""

    root: Path
    program: tuple[str, ...] = ("-m", "invoke")

    def inv(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """Type it, and wait for the end; a traceback is never an answer."""
        argv = (sys.executable, *self.program, *arguments)
        done = subprocess.run(
            argv,
            cwd=self.root,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
        result = Result(argv[1:], done.returncode, done.stdout, done.stderr)
        assert not result.traceback, result.err
        return result

    def start(self, *arguments: str) -> Running:
        """Type it, and go on."""
        return Running((sys.executable, *self.program, *arguments), self.root)

    def append(self, path: str, text: str) -> None:
        """Write at the end of a file, which is made if it is not there."""
        with (self.root / path).open("a", encoding="utf-8") as file:
            file.write(text)

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        file = self.root / path
        text = file.read_text()
        assert old in text, f"{old!r} is not in {path}"
        file.write_text(text.replace(old, new))

    def without_policy(self) -> None:
        """Take the policy of environments away, for a test that makes them differ."""
        file = self.root / "pyproject.toml"
        head, _, rest = file.read_text().partition("[tool.unstale.parity]")
        file.write_text(head + rest[rest.index("[tool.pytest.ini_options]") :])

    def git(self, *arguments: str) -> str:
        """Run git in the clone."""
        identity = ("-c", "user.name=Robin Example", "-c", "user.email=robin@example.com")
        return subprocess.run(
            ("git", *identity, *arguments),
            cwd=self.root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def image(self, service: str) -> str:
        """The name of a service's image."""
        services = self.inv("image.status", "--json").document()["services"]
        return next(str(s["image"]) for s in services if s["service"] == service)

    def folder(self, result: Result) -> Path:
        """Where a run that answered in JSON left its evidence."""
        return Path(str(result.document()["evidence"]))

    def containers(self, service: str = "") -> list[str]:
        """Names of this checkout's containers, running or not."""
        filters = ("--filter", f"label=com.docker.compose.service={service}") if service else ()
        names = docker("ps", "--all", "--format", "{{.Names}}", *filters).out.split()
        return [name for name in names if name.startswith(self._prefix)]

    def leftovers(self) -> list[str]:
        """Containers, networks and volumes of this checkout's stacks."""
        found = [f"container {name}" for name in self.containers()]
        for kind in ("network", "volume"):
            names = docker(kind, "ls", "--format", "{{.Name}}").out.split()
            found += [f"{kind} {name}" for name in names if name.startswith(self._prefix)]
        return found

    @property
    def _prefix(self) -> str:
        return f"unstale-{self.root.name}-"

    def sweep(self) -> None:
        """Remove this checkout's objects by name: after a test that went wrong."""
        for leftover in self.leftovers():
            kind, name = leftover.split()
            force = ("--force", "--volumes") if kind == "container" else ()
            docker(kind, "rm", *force, name, code=None)
