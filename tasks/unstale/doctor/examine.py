"""All checks, in the order of their causes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from unstale.compose import Stack
from unstale.doctor import checkout, engine, machine
from unstale.doctor.checkout import Asked
from unstale.doctor.engine import Engine
from unstale.doctor.finding import CHECKS, Diagnosis, Finding, Reap, State, blocked, not_asked
from unstale.doctor.patient import Patient
from unstale.errors import Outcome
from unstale.ports import Line

__all__ = ["diagnose"]


def diagnose(
    root: Path,
    environ: Mapping[str, str],
    env: str | None = None,
    *,
    echo: Line | None = None,
) -> Diagnosis:
    """Look at the machine, and at the project in the folder *root*; nothing is changed."""
    patient = Patient.at(root, environ, echo)
    found: dict[str, Finding] = {}
    stacks: list[Stack | None] = []
    asked_for: list[Asked | None] = []

    def meanwhile() -> None:
        asked, stack = _project(patient, env, found)
        asked_for.append(asked)
        stacks.append(stack)

    seen = engine.look(patient.process, patient.docker, patient.environ, meanwhile)
    found |= {one.check.name: one for one in engine.findings(seen)}
    asked, stack = asked_for[0], stacks[0]
    found["disk"] = machine.disk(seen, patient.files, root)
    found["clock"] = machine.clock(seen, _named(root, asked))
    _stack(patient, seen, asked, stack, found)
    return Diagnosis(tuple(_explained(found)))


def _named(root: Path, asked: Asked | None) -> tuple[Path, ...]:
    """Files that somebody edits."""
    one = asked.environment if asked else None
    return (root / "pyproject.toml", *((*one.compose_files, *one.env_files) if one else ()))


def _explained(found: Mapping[str, Finding]) -> Iterator[Finding]:
    """Each check once: what could not be told for a link that is broken names it."""
    links = [found[name] for name in engine.CHAIN]
    broken = next((one for one in links if one.state is State.FAIL), None)
    for check in CHECKS:
        one = found[check.name]
        is_blind = one.outcome is Outcome.UNKNOWN and check.name in _ASKED_OF_DOCKER
        if broken and is_blind:
            yield blocked(check.name, broken)
        else:
            yield _without_reap(one) if broken else one


def _without_reap(one: Finding) -> Finding:
    """Without what takes an engine to mend."""
    left = tuple(mending for mending in one.mendings if not isinstance(mending, Reap))
    return replace(one, mendings=left)


_ASKED_OF_DOCKER = ("clock", "ports", "compose files", "images")


def _project(
    patient: Patient, env: str | None, found: dict[str, Finding]
) -> tuple[Asked | None, Stack | None]:
    """What takes no engine."""
    settings, asked = checkout.settings(patient.root, patient.files, patient.environ, env)
    found["settings"] = settings
    found["shadowing"] = checkout.shadowing(patient.root)
    found["hidden tasks"] = checkout.hidden(patient.root)
    found["bytecode"] = machine.bytecode(patient.environ)
    found["leftovers"] = machine.leftovers(patient.leases)
    if asked is None:
        for name in ("env files", "compose files", "migrations"):
            found[name] = blocked(name, settings)
        return None, None
    found["env files"] = env_files = checkout.env_files(asked)
    found["migrations"] = checkout.migrations(asked)
    if env_files.state is State.FAIL:
        found["compose files"] = blocked("compose files", env_files)
        return asked, None
    found["compose files"], stack = checkout.compose_files(asked, patient.docker)
    return asked, stack


def _stack(
    patient: Patient,
    seen: Engine,
    asked: Asked | None,
    stack: Stack | None,
    found: dict[str, Finding],
) -> None:
    """What is asked of a stack that compose resolves."""
    if asked is None or stack is None:
        for name in ("ports", "mounts", "images"):
            found[name] = _without_stack(name, found)
        return
    found["mounts"] = checkout.mounts(asked, stack, is_local=seen.is_local)
    found["ports"] = machine.ports(patient.docker, stack)
    found["images"] = checkout.images(stack, patient.docker, patient.environ)


def _without_stack(name: str, found: Mapping[str, Finding]) -> Finding:
    cause = found["compose files"]
    return not_asked(name, "there is no stack") if cause.is_idle else blocked(name, cause)
