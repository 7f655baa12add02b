"""What is looked at, and with what: the doctor's composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unstale import config
from unstale.adapters import watchdog
from unstale.adapters.docker import REMOTES, DockerCli
from unstale.adapters.files import DiskFiles
from unstale.adapters.leases import Leases
from unstale.adapters.process import SystemProcess
from unstale.doctor import engine
from unstale.doctor.finding import Need
from unstale.ports import Line

__all__ = ["Patient", "needs"]

_ANSWER_S = 10.0
# For who would start another engine, where a busy one gives no answer.
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Patient:
    """A folder on a machine, and the adapters that look at both."""

    root: Path
    environ: Mapping[str, str]
    process: SystemProcess
    docker: DockerCli
    files: DiskFiles
    leases: Leases

    @classmethod
    def at(cls, root: Path, environ: Mapping[str, str], echo: Line | None = None) -> Patient:
        """The one in *root*; what would change something is refused at the gateway."""
        own = dict(environ)
        own.pop(watchdog.TAG, None)
        if not config.trusts_code(own):
            own |= dict.fromkeys(REMOTES, "false")
        process, leases = SystemProcess(dry=True, echo=echo), Leases(own)
        docker = DockerCli(process, own, _ANSWER_S, leases)
        return cls(root, own, process, docker, DiskFiles(), leases)


def needs(environ: Mapping[str, str]) -> tuple[Need, ...]:
    """What root has to install and start, all of it; no checkout is looked at."""
    one = Patient.at(Path(), environ)
    seen = engine.look(one.process, one.docker, one.environ, answer_s=_PATIENCE_S)
    return engine.needs(engine.with_plugins(seen, one.process, _PATIENCE_S))
