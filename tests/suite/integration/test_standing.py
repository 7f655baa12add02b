"""The stack that stands between commands, and what is not ours."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from harness import Checkout, docker


def test_steps_typed_alone_share_one_stack(stack: Checkout) -> None:
    up = stack.inv("stack.up").must(0)
    assert " is up." in up.out
    assert "0007" in stack.inv("db.migrate").must(0).out

    tests = stack.inv("test.run", "--", "-k", "health").must(0)
    assert " passed, 0 failed" in tests.out
    tables = stack.inv("db.tables", "--json").must(0).document()["tables"]
    assert {"users", "api_keys", "alembic_version"} <= {t["table"] for t in tables}
    status = stack.inv("stack.status").must(0).out
    assert "postgres" in status
    assert "healthy" in status

    stack.inv("stack.down").must(0)
    assert stack.leftovers() == []
    assert "No stack is up." in stack.inv("stack.status").must(0).out


def test_tasks_chain_in_one_command(stack: Checkout) -> None:
    chain = ("stack.down", "image.build", "db.migrate", "test.smoke")

    assert " passed, 0 failed" in stack.inv(*chain, "--", "-k", "health or docs").must(0).out


def test_keep_leaves_the_stack_and_says_its_name(stack: Checkout) -> None:
    result = stack.inv("test.integration", "--keep", "--json", "--", "-k", "health").must(0)

    project = result.document()["kept"]
    assert project
    assert f"{project}-postgres-1" in stack.containers("postgres")
    stack.inv("stack.reap").must(0)  # it belongs to a person, and is never swept
    assert "postgres" in stack.inv("stack.status").must(0).out
    stack.inv("stack.down").must(0)
    assert stack.leftovers() == []


def test_services_leaves_a_migrated_stack_without_running_a_test(stack: Checkout) -> None:
    result = stack.inv("test.integration", "--services").must(0)

    assert "run_tests" not in result.out
    assert "postgres:5432 -> 127.0.0.1:" in result.out
    assert stack.inv("db.status", "--json").must(0).document()["state"] == "current"


@pytest.fixture
def precious() -> Iterator[str]:
    """A volume with something in it, and a network, that somebody else made."""
    name = f"precious-{uuid.uuid4().hex[:8]}"
    docker("volume", "create", name)
    docker("network", "create", name)
    try:
        yield name
    finally:
        docker("network", "rm", name, code=None)
        docker("volume", "rm", "--force", name, code=None)


def test_what_we_did_not_create_survives_everything(stack: Checkout, precious: str) -> None:
    image = stack.image("test-runner")
    inside = ("run", "--rm", "--user", "0", "--volume", f"{precious}:/precious", image)
    docker(*inside, "touch", "/precious/egg")
    overlay = {
        "services": {
            "app": {"volumes": ["nest:/precious"], "networks": ["default", "colony"]},
        },
        "volumes": {"nest": {"name": precious}},
        "networks": {"colony": {"name": precious, "external": True}},
    }
    # JSON is YAML.
    stack.append("docker/precious.yml", json.dumps(overlay))
    stack.without_policy()
    stack.replace(
        "pyproject.toml",
        'compose-files = ["docker/docker-compose.test.yml"]',
        'compose-files = ["docker/docker-compose.test.yml", "docker/precious.yml"]',
    )

    stack.inv("test.integration", "--", "-k", "health").must(0)
    stack.inv("stack.up").must(0)
    stack.inv("stack.down", "stack.reap").must(0)

    docker(*inside, "ls", "/precious/egg")
    docker("network", "inspect", precious)


def test_migrations_that_are_newer_than_the_image_are_told(stack: Checkout) -> None:
    stack.inv("stack.up", "db.migrate").must(0)
    versions = "docker/service/migrations/versions"
    stack.append(f"{versions}/0007_revoke_api_keys.py", "\n# Edited after the image was built.\n")
    (container,) = stack.containers("postgres")
    before = _content(container)

    answer = stack.inv("db.status", "--json").must(3)

    assert answer.document()["state"] == "scripts-stale"
    assert "not as in the tree: 0007_revoke_api_keys.py" in answer.text
    assert "Next: inv image.build db.migrate" in answer.err
    (why,) = stack.inv("why", "schema", "--json").must(0).document()["answers"]
    (cause,) = why["causes"]
    assert cause["what"] == f"{versions}/0007_revoke_api_keys.py"
    assert cause["uncommitted"]
    assert _content(container) == before


def _content(container: str) -> str:
    """The server's databases and the dump of the tests', and who made which row when."""
    sql = (
        "SELECT datname FROM pg_database ORDER BY 1;"
        "SELECT xmin, oid, relname FROM pg_class WHERE oid >= 16384 ORDER BY 2"
    )
    found = docker("exec", container, "psql", "-XAtq", "-U", "accounts", "-c", sql).out
    dump = docker("exec", container, "pg_dump", "-U", "accounts", "accounts").out
    # A key that is another one in each dump, since PostgreSQL 17.6.
    lines = [
        line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))
    ]
    return "\n".join([found, *lines])


def test_a_database_can_be_started_over(stack: Checkout) -> None:
    stack.inv("stack.up", "db.migrate").must(0)
    drop = "DROP TABLE api_keys, email_tokens, outbox, refresh_tokens, users"
    stack.inv("db.shell", "--", "-c", drop).must(0)
    assert stack.inv("db.status", "--json").must(3).document()["state"] == "dropped"
    assert stack.inv("db.migrate").must(3).err.startswith("The schema is dropped")
    before = stack.containers("postgres")

    assert "--yes" in stack.inv("db.reset").must(2).err
    (why,) = stack.inv("why", "schema", "--json").must(0).document()["answers"]
    assert why["summary"].startswith("dropped: ")
    outbox = next(one for one in why["causes"] if one["what"] == "outbox")
    (place,) = outbox["places"]
    assert place["file"].endswith("versions/0002_create_outbox.py")
    text = (stack.root / place["file"]).read_text().splitlines()
    assert text[place["line"] - 1 : place["line"] + 1] == [
        "    op.create_table(",
        '        "outbox",',
    ]
    assert place["commit"]["subject"]
    assert "current: " in stack.inv("db.reset", "--yes").must(0).out

    assert stack.containers("postgres") == before
    assert stack.inv("db.check", "--json").must(0).document()["state"] == "current"
    settings = stack.inv("db.settings", "--json").must(0).document()["settings"]
    assert {"name": "synchronous_commit", "value": "off", "source": "command line", "file": ""} in (
        settings
    )
    assert stack.inv("db.shell", "--", "-c", "SELECT nonsense").code == 1
