"""Which services run the project's Python, as far as that is certain."""

from __future__ import annotations

import pytest

from unstale.parity.model import EnvironmentFacts, Field, Item, ServiceFacts
from unstale.parity.programs import code_services, in_all, runs_code

BUILT = (("image", "build.context", "app"),)


def service(name: str, *items: tuple[Field, str, str]) -> ServiceFacts:
    return ServiceFacts(name, tuple(Item(*item) for item in items))


@pytest.mark.parametrize(
    "item",
    [
        ("command", "word 1", "gunicorn"),
        ("command", "word 1", "/venv/bin/python3.13"),
        ("command", "word 2", "manage.py"),
        ("command", "script", "alembic upgrade head && uvicorn app:app"),
        ("command", "entrypoint word 1", "celery"),
        ("healthcheck", "test", '["CMD", "python", "-c", "1"]'),
        ("image", "name", "docker.io/library/python:3.13-slim"),
        ("image", "name", "example.com/uv:python3.13-bookworm"),
    ],
)
def test_a_service_that_says_python_and_has_the_project_s_files_runs_it(
    item: tuple[Field, str, str],
) -> None:
    assert runs_code(service("api", *BUILT, item))
    assert not runs_code(service("api", item))


@pytest.mark.parametrize(
    "items",
    [
        [],
        [("image", "name", "postgres:17")],
        [("image", "name", "node:22")],
        [("image", "name", "example.com/python-nodejs")],
        [("command", "word 1", "nginx"), ("command", "-c", "/etc/django.conf")],
        [("command", "word 1", "./start"), ("image", "name", "python:3.13")],
        [("other", "labels.program", "python")],
    ],
)
def test_a_service_that_may_run_anything_else_is_not_known(
    items: list[tuple[Field, str, str]],
) -> None:
    assert not runs_code(service("api", *BUILT, *items))


def test_the_image_tells_where_the_service_has_no_command() -> None:
    words = ["python:3.13-slim", "/entrypoint.sh"]

    assert runs_code(service("api", *BUILT), words)
    assert runs_code(service("api", *BUILT), ["scratch", "gunicorn -b :80 app"])
    assert not runs_code(service("api", *BUILT), ["node:22"])
    assert not runs_code(service("api", *BUILT, ("command", "word 1", "nginx")), words)


def test_the_folders_of_the_project_are_those_built_from_and_mounted() -> None:
    one = service(
        "api",
        *BUILT,
        ("command", "word 1", "flask"),
        ("volumes", "/data", "volume data:rw"),
        ("volumes", "/src", "bind src:ro create_host_path=true"),
    )

    assert code_services([one]) == {"api": {"app", "src"}}


def test_an_image_that_one_service_runs_python_of_is_python_s_for_others() -> None:
    named = ("image", "name", "app:dev")
    services = [
        service("plain", *BUILT),
        service("tests", *BUILT, named, ("command", "word 1", "pytest")),
        service("same-name", named),
        service("other-command", *BUILT, ("command", "word 1", "nginx")),
        service("other-build", ("image", "build.context", "web")),
    ]

    assert code_services(services) == {
        "tests": {"app"},
        "plain": {"app"},
        "same-name": {"app"},
    }


def test_all_environments_that_have_a_service_have_to_agree() -> None:
    python, nginx = (("command", "word 1", word) for word in ("python", "nginx"))
    ci = (service("api", *BUILT, python), service("job", *BUILT, python))
    test = (service("api", *BUILT, nginx),)

    found = in_all(EnvironmentFacts(name, None, one) for name, one in (("ci", ci), ("test", test)))

    assert found == {"job": {"app"}}
