"""A `docker` in front of the real one, which notes what it is asked and misbehaves when told."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = r"""
import json, os, signal, subprocess, sys, time
here = os.path.dirname(os.path.abspath(__file__))
argv = sys.argv[1:]
with open(here + "/seen", "a") as file:
    file.write(json.dumps(argv) + "\n")
with open(here + "/rules") as file:
    rule = json.load(file).get(verb(argv))
if rule is None:
    os.execv(REAL, ["docker", *argv])
kind, _, detail = rule.partition(":")
out = os.fdopen(1, "wb", 0, closefd=False)
if kind == "say":
    sys.stdout.write(detail)
    sys.exit(0)
if kind == "answer":  # code:stdout:stderr
    code, said, complained = json.loads(detail)
    sys.stdout.write(said); sys.stdout.flush(); sys.stderr.write(complained)
    sys.exit(code)
if kind == "hang":
    child = subprocess.Popen(["sleep", "471.5"], start_new_session=detail == "apart")
    for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
    time.sleep(471.5)
if kind in ("slow", "late"):  # the first one only; late: it is done all the same
    try:
        os.mkdir(here + "/begun")
    except FileExistsError:
        os.execv(REAL, ["docker", *argv])
    if kind == "late":
        shell = ["sh", "-c", 'sleep 1; exec "$@"', "-", REAL, *argv]
        nothing = subprocess.DEVNULL
        subprocess.Popen(
            shell, start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing
        )
    time.sleep(float(detail))
    os.execv(REAL, ["docker", *argv])
if kind == "garbage":
    out.write(b"<html>proxy login</html>\n" * 3)
if kind == "truncated":
    done = subprocess.run([REAL, *argv], stdout=subprocess.PIPE)
    out.write(done.stdout[: len(done.stdout) // 2])
if kind == "long":
    for _ in range(1600):
        out.write(b"x" * 65536)
if kind == "bytes":
    out.write(b"\xff\xfe\x80 caf\xe9 \xc3\n")
if kind == "exit":
    sys.stderr.write("docker: something is wrong with me\n")
    sys.exit(int(detail))
if kind == "killed":
    os.kill(os.getpid(), int(detail))
if kind == "closed":
    os.close(1)
    time.sleep(0.2)
"""
_GROUPS = {"compose", "image", "container", "network", "volume", "context", "buildx", "system"}
_VALUED = {
    *("--file", "--profile", "--env-file", "--project-name", "--progress"),
    *("--project-directory", "--host", "--context"),
}


@dataclass(frozen=True)
class Shim:
    """The folder with the command that stands in front of docker."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """What puts it first."""
        return {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}

    def misbehave(self, rules: Mapping[str, str]) -> None:
        """Do so at verbs like ``compose up`` or ``ps``; at others be docker."""
        (self.folder / "rules").write_text(json.dumps(dict(rules)))

    @property
    def begun(self) -> Path:
        """Is there once a command that was to be slow, or late, has begun."""
        return self.folder / "begun"

    def seen(self) -> list[list[str]]:
        """The argument lists since the last time this was asked."""
        path = self.folder / "seen"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


def shim(folder: Path) -> Shim:
    """Make one in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "docker").write_text(_HEAD + _SCRIPT)
    (folder / "docker").chmod(0o755)
    made = Shim(folder)
    made.misbehave({})
    return made


def verb(argv: list[str]) -> str:
    """What *argv* asks docker to do."""
    words: list[str] = []
    rest = list(argv)
    while rest and len(words) < (2 if not words or words[0] in _GROUPS else 1):
        word = rest.pop(0)
        if word in _VALUED:
            rest.pop(0)
        elif not word.startswith("-"):
            words.append(word)
    return " ".join(words)


_HEAD = f"""#!{sys.executable} -IS
_GROUPS = {_GROUPS!r}
_VALUED = {_VALUED!r}
REAL = {shutil.which("docker")!r}
{inspect.getsource(verb)}
"""
