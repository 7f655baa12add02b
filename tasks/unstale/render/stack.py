"""The state of a stack, as lines of text and as a JSON document."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unstale.facts import MountFact
from unstale.pipeline.containers import StackStatus, cures, hiding
from unstale.spoken import as_typed
from unstale.stack.judge import ContainerStatus
from unstale.stack.mounts import Finding
from unstale.verdict import Stale, Unknown, Verdict, word

__all__ = ["as_document", "as_text"]

_MOST_FILES = 20


# Text


def as_text(status: StackStatus, root: Path) -> tuple[str, ...]:
    """A line for each container, why it is not fresh, and what to type next."""
    heads = ("SERVICE", "STATE", "HEALTH", "IMAGE", "CONFIG", "MOUNTS", "PORTS")
    rows = [heads, *(_row(c) for c in status.containers)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return (
        lines[0],
        *(
            text
            for line, container in zip(lines[1:], status.containers, strict=True)
            for text in (line, *_why(container, root))
        ),
        *(f"{name}: there is no container" for name in status.missing),
        *(as_typed(f"Next: {cure}") for cure in cures(status)),
    )


def _row(status: ContainerStatus) -> tuple[str, ...]:
    container = status.container
    return (
        container.service,
        container.status,
        container.health or "-",
        word(status.image),
        word(status.configuration),
        word(status.mounts),
        ", ".join(f"{port} -> {address}" for port, address in container.ports),
    )


def _why(status: ContainerStatus, root: Path) -> list[str]:
    lines = []
    if isinstance(status.image, Stale):
        lines.append("  it runs another image than its service has now")
    if isinstance(status.source, Stale):
        paths = [r.path for r in status.source.reasons]
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        lines.append(f"  its image was built before {', '.join(paths[:3])}{more} changed")
    if isinstance(status.configuration, Stale):
        lines += [f"  {r.change}: {r.path}" for r in status.configuration.reasons]
    lines += [_hidden(mount, found, root) for mount, found in hiding(status)]
    return [*lines, *(f"  {v.why}" for v in _verdicts(status) if isinstance(v, Unknown))]


def _hidden(mount: MountFact, found: Sequence[Finding], root: Path) -> str:
    paths = [_relative(f, root) for f in found]
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    what = f"the volume {mount.name[:12]}" if mount.kind == "volume" else f"a {mount.kind}"
    return (
        f"  mount:{mount.target}  {what} shows other bytes than"
        f" {', '.join(paths[:3])}{more}: a build does not change that"
    )


def _relative(finding: Finding, root: Path) -> str:
    return os.path.relpath(finding.placement.source, root)


def _verdicts(status: ContainerStatus) -> tuple[Verdict, ...]:
    return (status.image, status.configuration, status.mounts, status.source)


# JSON


def as_document(status: StackStatus, root: Path) -> dict[str, Any]:
    """The body of ``stack-status``."""
    return {
        "project": status.project,
        "verdict": word(status.verdict),
        "missing": list(status.missing),
        "containers": [_container(c, root) for c in status.containers],
    }


def _container(status: ContainerStatus, root: Path) -> dict[str, Any]:
    container, verdict = status.container, status.verdict
    return {
        "service": container.service,
        "name": container.name,
        "id": container.id,
        "state": container.status,
        "health": container.health,
        "ports": [{"container": port, "host": address} for port, address in container.ports],
        "verdict": word(verdict),
        "image": {"id": container.image_id, **_answer(status.image)},
        "configuration": _answer(status.configuration),
        "mounts": {
            **_answer(status.mounts),
            "hiding": [
                {
                    "target": mount.target,
                    "kind": mount.kind,
                    "name": mount.name,
                    "files": [_relative(f, root) for f in found[:_MOST_FILES]],
                    "count": len(found),
                }
                for mount, found in hiding(status)
            ],
        },
        "reasons": _reasons(verdict),
    }


def _answer(verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": word(verdict),
        "why": verdict.why if isinstance(verdict, Unknown) else None,
    }


def _reasons(verdict: Verdict) -> list[dict[str, str]]:
    reasons = verdict.reasons if isinstance(verdict, Stale) else ()
    return [{"path": r.path, "change": r.change} for r in reasons]
