"""Which runs are alive: one locked file a run. The kernel frees it on any death."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Leases"]


class Leases:
    """Leases of this user on this machine."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        self.folder = Path(home) / "unstale"
        """What is true of this user on this machine is kept here."""

    @property
    def owner(self) -> str:
        """The label that marks this machine's and user's objects."""
        path = self.folder / "machine"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = path.with_name(f"machine.{os.urandom(16).hex()}")
            new.write_text(os.urandom(8).hex())
            # The first of two writers wins, so that both read one name.
            try:
                os.link(new, path)
            except FileExistsError:
                pass
            finally:
                new.unlink()
        return f"{path.read_text().strip()}-{os.getuid()}"

    @contextmanager
    def held(self, run: str) -> Iterator[None]:
        """Hold the lease of *run*; taken before the run makes its first object."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(run)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def is_alive(self, run: str) -> bool:
        """Whether somebody holds the lease of *run*."""
        try:
            with self._path(run).open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def keep(self, run: str) -> None:
        """Mark *run* as one that a person asked to keep."""
        self._path(run).with_suffix(".kept").touch()

    def forget(self, run: str) -> None:
        """Drop the mark of a kept run."""
        self._path(run).with_suffix(".kept").unlink(missing_ok=True)

    def is_kept(self, run: str) -> bool:
        """Whether *run* is one that a person asked to keep."""
        return self._path(run).with_suffix(".kept").exists()

    def _path(self, run: str) -> Path:
        return self.folder / f"{run}.lease"
