"""A database of a standing stack, and a project whose migrations it has, or not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness import Checkout, Result, docker

PROJECT = Path(__file__).parent / "schema" / "project"


@dataclass
class Database:
    """A database of the standing stack, and a project whose migrations it has, or not."""

    checkout: Checkout
    container: str
    address: str
    name: str
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.checkout.root

    @property
    def environ(self) -> Mapping[str, str]:
        """The project's own Python is the one that runs this."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {"STATE_DB": self.name, "PATH": path, **self.extra}

    def unstale(self, *arguments: str) -> Result:
        return self.checkout.inv(*arguments, env=self.environ)

    def alembic(self, *arguments: str, code: int = 0) -> str:
        """Run Alembic itself, as a user would."""
        done = subprocess.run(
            (sys.executable, "-m", "alembic", *arguments),
            cwd=self.root,
            env={**os.environ, **self.environ, "UNSTALE_DB_5432": self.address},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def sql(self, *statements: str) -> str:
        """Run *statements* with psql, beside unstale."""
        words = [word for statement in statements for word in ("-c", statement)]
        argv = ("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "app", "-d", self.name, *words)
        return docker("exec", self.container, *argv).out.strip()

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        self.checkout.replace(path, old, new)

    def content(self) -> str:
        """Everything that is in the database: its dump, and who made which row when."""
        argv = ("pg_dump", "-U", "app", "--restrict-key=k", self.name)
        dump = docker("exec", self.container, *argv, code=None)
        if dump.code:  # before PostgreSQL 17.6
            dump = docker("exec", self.container, "pg_dump", "-U", "app", self.name)
        return dump.out + self.sql("SELECT xmin, oid, relname FROM pg_class WHERE oid >= 16384")

    def others(self) -> Sequence[str]:
        """The other databases of the server."""
        return self.sql("SELECT datname FROM pg_database ORDER BY 1").split()

    @contextmanager
    def hold(self, sql: str) -> Iterator[None]:
        """A session that has run *sql*, and is still there."""
        argv = ("docker", "exec", "-i", self.container, "psql", "-XAtq", "-U", "app", self.name)
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as psql:
            assert psql.stdin is not None
            assert psql.stdout is not None
            psql.stdin.write(f"{sql};\n\\echo done\n")
            psql.stdin.flush()
            assert psql.stdout.readline().strip() == "done"
            try:
                yield
            finally:
                psql.stdin.close()
                psql.wait(timeout=10)
