"""The same run as an Invoke task, with try and finally."""

from __future__ import annotations

import os

from invoke import Context, task

_COMPOSE = (
    f"docker compose --project-name {os.environ['FAULTS_PROJECT']} --env-file .env.test"
    f" --file docker-compose.test.yml --file {os.environ['FAULTS_MORE']} --profile test"
)
_HEALTH = "docker inspect --format '{{.State.Health.Status}}'"


@task
def integration(c: Context) -> None:
    """Run the integration tests."""
    c.run(f"{_COMPOSE} down --volumes --remove-orphans")
    c.run(f"{_COMPOSE} build")
    try:
        c.run(f"{_COMPOSE} up --detach db")
        container = c.run(f"{_COMPOSE} ps --quiet db", hide=True).stdout.strip()
        while c.run(f"{_HEALTH} {container}", hide=True).stdout.strip() != "healthy":
            c.run("sleep 0.5")
        c.run(f"{_COMPOSE} run --rm -T test-runner")
    finally:
        c.run(f"{_COMPOSE} down --volumes --remove-orphans")
