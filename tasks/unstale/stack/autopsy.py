"""What a container that failed says of itself, and why it could not even be started."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from unstale.errors import EngineUnavailable, Fault, Unavailable
from unstale.facts import ArchiveMember, ContainerFact
from unstale.ports import Docker

__all__ = ["Finding", "autopsy", "evidence"]

# tini's words, which every container of a stack has as its first process, and runc's.
_NOT_EXECUTED = re.compile(
    r"exec (?P<path>\S+?)(?: failed)?: "
    r"(?P<why>no such file or directory|permission denied|exec format error)",
    re.IGNORECASE,
)
_CARRIAGE_RETURN = re.compile(r"\r|\\r\b")
_TAKEN = re.compile(r"port is already allocated|address already in use", re.IGNORECASE)
# Where nothing could be executed, be it by the engine, by tini or by a shell. A shell also
# ends with 2: tini hands it what the kernel can't execute, a foreign program for one.
_NOTHING_RAN = frozenset({2, 126, 127, 255})
_REBUILD = "then inv image.build"


@dataclass(frozen=True, slots=True)
class Finding:
    """What an autopsy tells."""

    cause: str
    """The engine's words, the last health check, the last lines of the log."""
    hint: str = ""
    """What would mend it, where that is known."""
    fault: Fault | None = None
    """More than that it ended or is not healthy, where that is known."""


def evidence(docker: Docker, container: ContainerFact, tail: int = 15) -> str:
    """What a container says of itself: engine's words, health check, log."""
    return _words(container, _log(docker, container, tail))


def autopsy(docker: Docker, container: ContainerFact) -> Finding:
    """What *container* says of itself, and if it could not be started, why."""
    lines = _log(docker, container, 15)
    said = _words(container, lines)
    if container.oom_killed:
        return Finding(said, "raise its memory limit, or let it do less", Fault.OUT_OF_MEMORY)
    if container.error and container.status == "created":
        taken = _TAKEN.search(container.error)
        return Finding(said, fault=Fault.BUSY if taken else Fault.SERVICE_DIED)
    ended = container.has_ended or container.status == "restarting"
    # A server that is no container has no image.
    if not ended or not container.exit_code or not container.image_id:
        return Finding(said)
    found = _foreign(docker, container, lines) or _not_executed(docker, container, lines)
    if found is None:
        return Finding(said)
    return Finding(f"{found.cause}\n{said}".rstrip(), found.hint, found.fault)


def _log(docker: Docker, container: ContainerFact, tail: int) -> tuple[str, ...]:
    try:
        return docker.logs(container.id, tail)
    except EngineUnavailable:
        raise
    except Unavailable as error:
        return (f"(its log can't be read: {error.cause or error.what})",)


def _words(container: ContainerFact, lines: Sequence[str]) -> str:
    parts = [
        container.error,
        container.health_output and f"Its health check said: {container.health_output}",
        "Its last log lines:\n" + "\n".join(f"  {line}" for line in lines) if lines else "",
    ]
    return "\n".join(part for part in parts if part)


def _foreign(docker: Docker, container: ContainerFact, lines: Sequence[str]) -> Finding | None:
    """Whether the image is for another machine; only asked where nothing ran."""
    says_so = any("exec format error" in line.lower() for line in lines)
    if container.exit_code not in _NOTHING_RAN and not says_so:
        return None
    image = docker.image(container.image_id)
    if image is None or not image.architecture:
        return None
    engine = docker.platform()
    if f"{image.os}/{image.architecture}" == engine:
        return None
    return Finding(
        f"The image is for {image.os}/{image.architecture}, the engine is {engine}.",
        f"set platform: {engine} in its service, or take an image for {engine}, {_REBUILD}",
        Fault.CONFIGURATION,
    )


def _not_executed(docker: Docker, container: ContainerFact, lines: Sequence[str]) -> Finding | None:
    last = next((m for line in reversed(lines) if (m := _NOT_EXECUTED.search(line))), None)
    if last is not None:
        return _obstacle(docker, container, last["path"], last["why"].lower())
    if not any(_CARRIAGE_RETURN.search(line) for line in lines):
        return None
    for word in (*container.config.entrypoint, *container.config.command):
        script = next(_found(docker, container, word), None) if _is_script(word) else None
        if script is not None and _first_line(script).endswith(b"\r"):
            return _crlf(script)
    return None


def _obstacle(docker: Docker, container: ContainerFact, path: str, why: str) -> Finding:
    """Why *path* was not executed: what is there in its place."""
    script = next(_found(docker, container, path), None)
    if script is None:
        return _died(f"There is no {path} in the image.", f"correct its command, {_REBUILD}")
    line = _first_line(script)
    if line.endswith(b"\r"):
        return _crlf(script)
    if why == "permission denied":
        mode = f"{script.mode & 0o7777:04o}"
        return _died(
            f"{script.path} may not be executed: its mode is {mode}.",
            f"COPY --chmod=0755 in the Dockerfile, or chmod +x here, {_REBUILD}",
        )
    if line.startswith(b"#!"):
        wanted = line[2:].decode(errors="replace").split()
        if wanted and next(_found(docker, container, wanted[0]), None) is None:
            return _died(
                f"{script.path} asks for {wanted[0]}, which is not in the image.",
                f"correct its first line, or install {wanted[0]}, {_REBUILD}",
            )
    return _died(f"{script.path} is there, but can't be executed: {why}.", "")


def _died(cause: str, hint: str) -> Finding:
    return Finding(cause, hint, Fault.SERVICE_DIED)


def _crlf(script: ArchiveMember) -> Finding:
    return _died(
        f"CRLF in {script.path}? Its first line ends with a carriage return,"
        " which is then a part of the interpreter's name, or of an option.",
        f"save it with LF alone (*.sh text eol=lf in .gitattributes), {_REBUILD}",
    )


def _is_script(word: str) -> bool:
    return not word.startswith("-") and ("/" in word or word.endswith(".sh"))


def _first_line(script: ArchiveMember) -> bytes:
    return script.content.partition(b"\n")[0]


def _found(docker: Docker, container: ContainerFact, name: str) -> Iterator[ArchiveMember]:
    """The file that *name* stands for in *container*, which need not run."""
    for path in _places(container, name):
        # Of a folder, what comes first is in it: no more of it is read.
        first = next(iter(docker.files_in_container(container.id, path)), None)
        if first is not None and first.path == path and first.link is None:
            yield first


def _places(container: ContainerFact, name: str) -> tuple[PurePosixPath, ...]:
    config = container.config
    if "/" in name:
        return (PurePosixPath("/", config.working_dir, name),)
    variables = dict(pair.partition("=")[::2] for pair in config.environment)
    folders = variables.get("PATH", "").split(":")
    return tuple(PurePosixPath(folder, name) for folder in folders if folder.startswith("/"))
