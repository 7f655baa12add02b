"""One server for all states; each test has a database and a copy of the migrations."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator

import pytest
from harness import Checkout, copy_images_env, docker
from migrated import PROJECT, Database


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A standing stack with nothing but PostgreSQL."""
    root = tmp_path_factory.mktemp("schema") / f"it-{uuid.uuid4().hex[:8]}"
    shutil.copytree(PROJECT, root)
    copy_images_env(root)
    checkout = Checkout(root, program=("-m", "unstale"))
    checkout.inv("stack.up").must(0)
    (container,) = checkout.containers("db")
    address = docker("port", container, "5432/tcp").out.split()[0]
    try:
        yield Database(checkout, container, address, "app")
    finally:
        checkout.inv("stack.down").must(0)
        assert checkout.leftovers() == []


@pytest.fixture
def database(server: Database) -> Iterator[Database]:
    """A new database, and the migrations as they are in the repository."""
    name = f"state_{uuid.uuid4().hex[:12]}"
    server.sql(f"CREATE DATABASE {name}")
    for path in ("migrations", "models.py", "alembic.ini", "pyproject.toml"):
        target = server.root / path
        if target.is_dir():
            shutil.rmtree(target)
            shutil.copytree(PROJECT / path, target)
        else:
            shutil.copy(PROJECT / path, target)
    yield Database(server.checkout, server.container, server.address, name)
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def elsewhere(server: Database) -> Iterator[str]:
    """The address of another server, which knows the same role and database."""
    name = f"{server.container}-elsewhere"
    image = docker("inspect", "--format", "{{.Config.Image}}", server.container).out.strip()
    settings = ("POSTGRES_USER=app", "POSTGRES_PASSWORD=only-for-tests", "POSTGRES_DB=app")
    variables = [word for setting in settings for word in ("--env", setting)]
    docker("run", "--detach", "--name", name, "--publish", "127.0.0.1::5432", *variables, image)
    try:
        address = docker("port", name, "5432/tcp").out.split()[0]
        ready = ("exec", name, "psql", "-h", "127.0.0.1", "-U", "app", "-c", "SELECT 1")
        end = time.monotonic() + 60
        while docker(*ready[:2], "env", "PGPASSWORD=only-for-tests", *ready[2:], code=None).code:
            assert time.monotonic() < end
            time.sleep(0.2)
        yield address
    finally:
        docker("rm", "--force", "--volumes", name)
