"""The second war story, retold: what differs between CI and here, and what of it matters.

Compose is the real one; it needs no engine for this.
"""

from __future__ import annotations

import json
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout

COMPOSE = """
services:
  postgres:
    image: postgres:17
    environment:
      POSTGRES_PASSWORD: ${{DB_PASSWORD}}
      POSTGRES_INITDB_ARGS: {initdb}
    command: [postgres, -c, fsync=off, -c, full_page_writes=off{flag}]
    {data}
  api: &api
    build: {{context: ., target: runtime}}
    env_file: [env/.env.{name}]
    volumes: ["./settings:/app/settings{mode}"]
  worker: *api
  scheduler: *api
  api-tests:
    <<: *api
    command: [pytest]
{volumes}
"""
DOCKERFILE = "FROM python:3.13-slim AS runtime\nENV WORKERS=4\nCOPY app.py /app/app.py\n"
CODE = """
import os

from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    api_prefix: str = "/api/v1"
    debug: bool = False
    log_level: str = "INFO"
    callback_port: int


REGION = os.environ["REGION"]
"""
CI = """
LOG_LEVEL=WARNING
DB_PASSWORD=ci-only-plover-58
DATABASE_URL=postgresql://app:ci-only-plover-58@db.ci.example.com:5432/app
CALLBACK_SERVER_PORT=8182
REGION=eu
EMPTY_IN_CI=
SHARED=same
"""
HERE = """
LOG_LEVEL=INFO
DB_PASSWORD=here-only-heron-72
DATABASE_URL=postgresql://app:ci-only-plover-58@postgres:5432/app
API_PREFIX=/api/v1
DEBUG=false
CALLBACK_SERVER_PORT=8182
REGION=eu
EMPTY_IN_CI=filled
SHARED=same
"""
SECRETS = ("ci-only-plover-58", "here-only-heron-72")


def compose(name: str, *, flag: str, data: str, mode: str, volumes: str, initdb: str) -> str:
    return COMPOSE.format(
        name=name, flag=flag, data=data, mode=mode, volumes=volumes, initdb=initdb
    )


@pytest.fixture
def story(tmp_path: Path) -> Checkout:
    root = tmp_path / f"it-{uuid.uuid4().hex[:8]}"
    (root / "env").mkdir(parents=True)
    (root / "settings").mkdir()
    (root / "docker-compose.ci.yml").write_text(
        compose(
            "ci",
            flag=", -c, synchronous_commit=off",
            data="tmpfs: [/var/lib/postgresql/data]",
            mode=":ro",
            volumes="",
            initdb="--encoding=UTF8",
        )
    )
    (root / "docker-compose.test.yml").write_text(
        compose(
            "test",
            flag="",
            data='volumes: ["data:/var/lib/postgresql/data"]',
            mode="",
            volumes="volumes: {data: }",
            initdb="--encoding=UTF8 --locale=C",
        )
    )
    (root / "env/.env.ci").write_text(CI.lstrip())
    (root / "env/.env.test").write_text(HERE.lstrip())
    (root / "app.py").write_text(textwrap.dedent(CODE))
    (root / "Dockerfile").write_text(DOCKERFILE)
    (root / "pyproject.toml").write_text("")
    return Checkout(root, program=("-m", "unstale"))


def differences(story: Checkout, *more: str) -> dict[str, dict[str, Any]]:
    document = story.inv("env.diff", "ci", "test", "--json", *more).must(3).document()
    return {
        f"{d['field']}:{d['item']}": d for d in (*document["differences"], *document["identity"])
    }


def test_one_flag_on_a_command_line_is_one_difference(story: Checkout) -> None:
    document = story.inv("env.diff", "ci", "test", "--json").must(3).document()

    (row,) = [r for r in document["services"] if r["field"] == "command"]
    assert row == {
        "service": "postgres",
        "field": "command",
        "item": "synchronous_commit",
        "left": "off",
        "right": None,
        "kind": "missing_right",
        "secret": False,
    }


def test_a_missing_variable_whose_default_is_the_same_is_marked(story: Checkout) -> None:
    found = differences(story)

    assert "app.py:8 has the same default" in found["file:API_PREFIX"]["no_effect"]
    assert "app.py:9" in found["environment:DEBUG"]["no_effect"]
    assert not found["environment:LOG_LEVEL"]["no_effect"]


def test_a_difference_in_four_services_is_one(story: Checkout) -> None:
    found = differences(story)

    assert found["environment:LOG_LEVEL"]["services"] == ["api", "api-tests", "scheduler", "worker"]


def test_where_data_lies_and_who_may_write_is_part_of_parity(story: Checkout) -> None:
    found = differences(story)

    assert found["volumes:/var/lib/postgresql/data"]["kind"] == "different"
    assert found["volumes:/app/settings"]["services"] == [
        "api",
        "api-tests",
        "scheduler",
        "worker",
    ]


def test_what_initdb_is_told_is_a_setting_of_the_server(story: Checkout) -> None:
    assert "other:postgresql.initdb --locale" in differences(story)


def test_missing_empty_and_only_the_host_are_told_apart(story: Checkout) -> None:
    document = story.inv("env.diff", "ci", "test", "--json").must(3).document()
    found = {d["item"]: d for d in document["differences"] if d["field"] == "file"}

    assert document["missing_left"] == ["API_PREFIX", "DEBUG"]
    assert found["EMPTY_IN_CI"]["detail"] == "empty in ci"
    assert found["DATABASE_URL"]["detail"] == "only the host differs"
    assert found["DATABASE_URL"]["secret"]


def test_who_decided_a_value_is_named_with_file_and_line(story: Checkout) -> None:
    found = differences(story)

    assert found["environment:LOG_LEVEL"]["left_source"] == {
        "file": "env/.env.ci",
        "line": 1,
        "kind": "env-file",
    }
    assert found["environment:POSTGRES_PASSWORD"]["right_source"] == {
        "file": "env/.env.test",
        "line": 2,
        "kind": "interpolation",
        "variable": "DB_PASSWORD",
    }


def test_a_name_that_is_nearly_right_is_found(story: Checkout) -> None:
    document = story.inv("env.diff", "ci", "test", "--json").must(3).document()

    (near,) = [f for f in document["findings"] if f["kind"] == "near-miss"]
    assert near["key"] == "CALLBACK_PORT"
    assert "CALLBACK_SERVER_PORT" in near["text"]


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif"])
def test_no_value_is_shown_by_default(story: Checkout, form: str) -> None:
    shown = story.inv("env.diff", "ci", "test", "--format", form).must(3).text

    for value in (*SECRETS, "WARNING", "filled", "db.ci.example.com"):
        assert value not in shown


def test_values_that_are_not_secret_are_shown_on_request(story: Checkout) -> None:
    shown = story.inv("env.diff", "ci", "test", "--show-values").must(3).text

    assert "'WARNING'" in shown
    for value in SECRETS:
        assert value not in shown


def test_the_shell_of_whoever_asks_makes_no_difference_vanish(
    story: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = differences(story)
    for name in ("DB_PASSWORD", "LOG_LEVEL", "COMPOSE_PROFILES"):
        monkeypatch.setenv(name, "from-the-shell")

    assert differences(story) == before


def test_a_first_check_is_not_red_once_a_baseline_is_written(story: Checkout) -> None:
    story.inv("env.check").must(3)
    written = story.inv("env.check", "--baseline").must(0)
    policy = (story.root / "pyproject.toml").read_text()
    story.inv("env.check", "--baseline").must(0)

    assert "baseline, unreviewed" in policy
    assert not any(secret in policy for secret in SECRETS)
    assert (story.root / "pyproject.toml").read_text() == policy
    assert story.inv("env.check").must(0)
    assert not written.traceback


def test_a_permission_that_is_over_or_that_nobody_needs_fails(story: Checkout) -> None:
    story.inv("env.check", "--baseline").must(0)
    pyproject = story.root / "pyproject.toml"
    policy = pyproject.read_text()

    pyproject.write_text(policy + '\n[[tool.unstale.parity.allow]]\nkey = "GONE"\nreason = "x"\n')
    unused = story.inv("env.check", "--json").must(3).document()
    pyproject.write_text(
        policy.replace('key = "LOG_LEVEL"', 'key = "LOG_LEVEL"\nexpires = 2020-01-01')
    )
    expired = story.inv("env.check", "--json").must(3).document()

    assert [(p["kind"], p["key"]) for p in unused["policy"]] == [("unused", "GONE")]
    assert [(p["kind"], p["key"]) for p in expired["policy"]] == [("expired", "LOG_LEVEL")]


def test_all_environments_stand_in_one_table_and_on_one_page(story: Checkout) -> None:
    table = story.inv("env.matrix").must(0).out
    page = story.root / "matrix.html"
    story.inv("env.matrix", "--html", str(page)).must(0)

    (line,) = [one for one in table.splitlines() if one.startswith("LOG_LEVEL")]
    assert line.split()[1:3] == ["A", "B"]
    assert not any(secret in page.read_text() for secret in SECRETS)


def test_missing_keys_are_added_as_the_example_has_them_and_no_secret_with_them(
    story: Checkout,
) -> None:
    (story.root / "env/.env.example").write_text(
        "# Where the API is.\nAPI_PREFIX=/api/v1\nDB_PASSWORD=change-me\nDEBUG=false\n"
    )
    before = (story.root / "env/.env.ci").read_text()

    dry = story.inv("env.sync", "--envs", "ci").must(0)
    assert (story.root / "env/.env.ci").read_text() == before
    story.inv("env.sync", "--envs", "ci", "--write").must(0)
    after = (story.root / "env/.env.ci").read_text()
    again = story.inv("env.sync", "--envs", "ci", "--write", "--json").must(0).document()

    assert "API_PREFIX" in dry.out
    assert "# Where the API is.\nAPI_PREFIX=/api/v1\n" in after
    assert [line for line in after.splitlines() if line in before.splitlines()] == (
        before.splitlines()
    )
    assert again["keys"] == []


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("missing", None, 2),
        ("encrypted", "LOG_LEVEL=encrypted:BAbc\n", 4),
        ("unparsable", "LOG_LEVEL=a\n'broken\n", 2),
    ],
)
def test_what_can_not_be_compared_is_never_equal(
    story: Checkout, name: str, content: str | None, code: int
) -> None:
    del name
    path = story.root / "env/.env.ci"
    path.unlink() if content is None else path.write_text(content)
    (story.root / "pyproject.toml").write_text(
        '[tool.unstale.environments.ci]\nenv-file = "env/.env.ci"\n'
    )

    for flag in ((), ("--files-only",)):
        assert story.inv("env.diff", "ci", "test", *flag).code == code


def test_an_encrypted_file_of_a_service_is_not_compared_either(story: Checkout) -> None:
    for name in ("ci", "test"):
        story.replace(
            f"docker-compose.{name}.yml",
            f"env_file: [env/.env.{name}]",
            f"env_file: [env/.env.{name}, more.env]",
        )
    (story.root / "more.env").write_text("MORE=encrypted:BAbc\n")

    assert story.inv("env.diff", "ci", "test").code == 4


def test_two_that_have_nothing_in_common_are_not_alike(story: Checkout) -> None:
    (story.root / "env/.env.ci").unlink()
    (story.root / "docker-compose.ci.yml").write_text("services: {one: {image: x}}\n")
    (story.root / "docker-compose.test.yml").unlink()

    answer = story.inv("env.diff", "ci", "test", "--json").must(4).document()

    assert not answer["parity"]
    assert answer["unknown"] == ["test has no compose file, so the containers were not compared"]
    assert story.inv("env.matrix", "--envs", "ci").code == 2


def test_a_profile_that_only_one_environment_chooses_is_a_difference(story: Checkout) -> None:
    for name in ("ci", "test"):
        story.append(f"docker-compose.{name}.yml", "")
        story.replace(
            f"docker-compose.{name}.yml",
            "  worker: *api\n",
            "  worker: *api\n  cache: {image: 'redis:7', profiles: [cache]}\n",
        )
    (story.root / "pyproject.toml").write_text(
        '[tool.unstale.environments.ci]\nprofiles = ["cache"]\n'
    )

    assert differences(story)["other:is started"]["services"] == ["cache"]


def test_what_a_dockerfile_sets_for_one_target_only_is_a_difference(story: Checkout) -> None:
    (story.root / "Dockerfile").write_text(DOCKERFILE + "FROM runtime AS careful\nENV WORKERS=1\n")
    story.replace("docker-compose.ci.yml", "target: runtime", "target: careful")

    found = differences(story)["environment:WORKERS"]

    assert found["left_source"] == {"file": "Dockerfile", "line": 5, "kind": "dockerfile"}


def test_a_stack_without_services_is_an_error(story: Checkout) -> None:
    (story.root / "docker-compose.ci.yml").write_text("services: {}\n")

    assert story.inv("env.diff", "ci", "test").code == 2


def test_annotations_and_sarif_name_files_of_the_project(story: Checkout) -> None:
    lines = story.inv("env.check", "--format", "github").must(3).out.splitlines()
    log = json.loads(story.inv("env.check", "--format", "sarif").must(3).out)

    assert any(line.startswith("::error file=env/.env.ci,line=") for line in lines)
    places = {
        r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for r in log["runs"][0]["results"]
    }
    assert places <= {
        *("env/.env.ci", "env/.env.test", "docker-compose.ci.yml", "docker-compose.test.yml"),
        *("app.py", "Dockerfile", "pyproject.toml"),
    }
