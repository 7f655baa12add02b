"""`init`: what would be written of what was found, with docker and without, once and twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from unstale.config import load
from unstale.errors import ConfigError, EngineUnavailable
from unstale.pipeline.setup import Setup, Site, apply, plan
from unstale.ports import ComposeTarget, ResolvedModel
from unstale.render import setup as rendered

if TYPE_CHECKING:
    from conftest import FakeFiles

ROOT = Path("/srv/demo")
WEB = "services:\n  web:\n    build: .\n    depends_on: [db]\n  db:\n    image: postgres:17\n"
TESTS = {"tests/test_a.py": "", "requirements.txt": "pytest\n"}


class Compose:
    """Compose, as far as a survey asks it: models by their first file, or a refusal."""

    def __init__(self, models: Mapping[str, Mapping[str, Any] | Exception]) -> None:
        self._models = models
        self.asked: list[tuple[str, ...]] = []

    def resolved(
        self, target: ComposeTarget, *, raw: bool = False, inherited: Sequence[str] = ()
    ) -> ResolvedModel:
        del raw, inherited
        names = tuple(str(file.relative_to(ROOT)) for file in target.files)
        self.asked.append(names)
        found = self._models.get(" ".join(names), EngineUnavailable("There is no docker command."))
        if isinstance(found, Exception):
            raise found
        return ResolvedModel(found)


Surveyed = Callable[..., "tuple[Setup, FakeFiles]"]


@pytest.fixture
def surveyed(
    files: Callable[[Mapping[Path, str]], FakeFiles],
) -> Surveyed:
    """Survey a project of *texts*."""

    def survey(
        texts: Mapping[str, str],
        models: Mapping[str, Mapping[str, Any] | Exception] | None = None,
        baseline: Callable[[str], tuple[str, int]] = lambda text: (text, 0),
        **more: Any,
    ) -> tuple[Setup, FakeFiles]:
        disk = files({ROOT / name: text for name, text in texts.items()})
        return again(disk, models, baseline, **more), disk

    return survey


def again(
    disk: FakeFiles,
    models: Mapping[str, Mapping[str, Any] | Exception] | None = None,
    baseline: Callable[[str], tuple[str, int]] = lambda text: (text, 0),
    **more: Any,
) -> Setup:
    names = tuple(sorted(str(path.relative_to(ROOT)) for path in disk.texts))
    docker: Any = Compose(models or {})
    site = Site(ROOT, disk, docker, names, load(ROOT, disk, {}), baseline, ("test",), in_git=True)
    return plan(replace(site, **more))


def written(setup: Setup) -> dict[str, Any]:
    text = next(one.after for one in setup.changes if one.path == "pyproject.toml")
    found: dict[str, Any] = tomllib.loads(text)["tool"]["unstale"]
    return found


def test_without_docker_files_are_read_and_what_could_not_be_told_is_said(
    surveyed: Surveyed,
) -> None:
    found, _ = surveyed({"compose.yml": WEB, **TESTS})

    assert [one.path for one in found.changes] == ["tasks.py", "pyproject.toml", ".gitignore"]
    assert written(found) == {
        "default-env": "test",
        "environments": {
            "test": {"compose-files": ["compose.yml"], "runner": "host", "database": "db"}
        },
        "runner": {"command": ["pytest"]},
        "schema": {"setup": "none"},
    }
    assert any("no docker command" in note and "variables" in note for note in found.notes)
    assert rendered.next_step(found, written=True).startswith("install docker")


def test_a_second_time_there_is_nothing_to_do(
    surveyed: Surveyed,
) -> None:
    first, disk = surveyed({"compose.yml": WEB, ".dockerignore": ".git\n", **TESTS})
    apply(first.root, first.changes, disk)
    before = dict(disk.texts)

    second = again(disk)

    assert second.changes == ()
    assert disk.texts == before
    assert rendered.as_text(second)[-1] == "Nothing is to be written."


def test_what_compose_resolves_goes_before_what_is_written(
    surveyed: Surveyed,
) -> None:
    model = {
        "services": {
            "web": {"build": {"context": str(ROOT)}},
            "checks": {"build": {"context": str(ROOT)}, "command": ["pytest"], "profiles": ["t"]},
            "db": {"image": "registry.example.com/postgres:17", "profiles": ["data"]},
        }
    }
    found, _ = surveyed({"compose.yml": "include: [x.yml]\n", **TESTS}, {"compose.yml": model})

    assert written(found)["environments"]["test"] == {
        "compose-files": ["compose.yml"],
        "runner": "checks",
        "database": "db",
        "profiles": ["data", "t"],
    }
    assert rendered.next_step(found, written=True) == "inv test.integration"


def test_files_that_compose_refuses_alone_are_tried_together(
    surveyed: Surveyed,
) -> None:
    texts = {"compose.yml": WEB, "compose.ci.yml": WEB, **TESTS}
    models = {
        "compose.yml": {"services": {"web": {"build": {}}}},
        "compose.ci.yml": ConfigError("refused", cause="line 3: no such service"),
        "compose.yml compose.ci.yml": {"services": {"web": {"build": {}}}},
    }
    found, _ = surveyed(texts, models)

    assert written(found)["environments"]["ci"]["compose-files"] == [
        *("compose.yml", "compose.ci.yml")
    ]


def test_files_that_compose_refuses_at_all_are_written_with_its_words(
    surveyed: Surveyed,
) -> None:
    refused = ConfigError("refused", cause="DB_PASSWORD is required")
    found, _ = surveyed({"compose.yml": WEB, **TESTS}, {"compose.yml": refused})
    (change,) = [one for one in found.changes if one.path == "pyproject.toml"]

    assert "# unsure: compose refuses the files of 'test' (compose.yml: DB_PASSWORD" in change.after
    assert any("DB_PASSWORD is required" in note for note in found.notes)


def test_todays_differences_are_allowed_and_counted(
    surveyed: Surveyed,
) -> None:
    models = {
        one: {"services": {"web": {"build": {}}}} for one in ("compose.yml", "compose.ci.yml")
    }
    texts = {"compose.yml": WEB, "compose.ci.yml": WEB, **TESTS}

    found, _ = surveyed(texts, models, lambda text: (f"{text}# more\n", 2))
    assert any("2 differences are allowed" in note for note in found.notes)
    assert next(c.after for c in found.changes if c.path == "pyproject.toml").endswith("# more\n")

    def refuse(_: str) -> tuple[str, int]:
        raise ConfigError("A file can't be read.")

    found, _ = surveyed(texts, models, refuse)
    assert any("no baseline" in n and "A file can't be read;" in n for n in found.notes)


def test_a_stack_beside_this_one_is_compared_with_nothing(surveyed: Surveyed) -> None:
    proxy = "services:\n  traefik: {image: traefik}\n"
    texts = {"compose.yml": WEB, "compose.ci.yml": WEB, "compose.traefik.yml": proxy}

    found, _ = surveyed(texts)

    assert list(written(found)["environments"]) == ["ci", "test"]
    assert written(found)["parity"] == {"pairs": ["ci/test"]}
    assert "compose.traefik.yml is a stack beside this one, and no environment" in found.notes


def test_a_table_that_is_there_is_left_alone_and_what_it_lacks_is_named(
    surveyed: Surveyed,
) -> None:
    mine = "[tool.unstale]\ndefault-env = 'ci'  # mine\n"
    texts = {"pyproject.toml": mine, "compose.ci.yml": WEB, "deploy/compose.dev.yml": WEB}
    found, _ = surveyed({**texts, "docker/compose.qa.yml": WEB})

    assert "pyproject.toml" not in [one.path for one in found.changes]
    assert found.missing == (
        "[tool.unstale.environments.dev]: deploy/compose.dev.yml is there",
        (
            "runner in [tool.unstale.environments.ci], such as 'host': no service says test or"
            " installs pytest (web); tests run on this machine"
        ),
        "[[tool.unstale.parity.allow]]: inv env.check --baseline",
    )


PUBLISHED = "services:\n  web:\n    build: .\n    ports: ['5000:80']\n"
ASKS = 'import os\nURL = os.environ.get("BASE_URL", "http://localhost:5000/v1")\n'


def test_an_address_that_tests_on_the_host_read_is_proposed_with_its_place(
    surveyed: Surveyed,
) -> None:
    found, _ = surveyed({"compose.yml": PUBLISHED, **TESTS, "tests/conftest.py": ASKS})
    (change,) = [one for one in found.changes if one.path == "pyproject.toml"]

    assert written(found)["runner"] == {
        "command": ["pytest"],
        "environment": {"BASE_URL": "http://{web:80}/v1"},
    }
    assert "# tests/conftest.py:2\nBASE_URL = " in change.after
    assert ("address BASE_URL", "tests/conftest.py:2") in [(f.what, f.where) for f in found.found]


@pytest.mark.parametrize(
    "texts",
    [
        {"tests/conftest.py": ASKS.replace("5000", "5001")},
        {"tests/conftest.py": ASKS.replace("localhost", "www.example.com")},
        {"tests/conftest.py": ASKS.replace("//", "//me:secret@")},
        {"tests/conftest.py": ASKS.replace("/v1", "/{v}")},
        {"tests/conftest.py": ASKS, "tests/test_b.py": ASKS.replace("/v1", "/v2")},
        {"app.py": ASKS},
        {"tests/conftest.py": f"{ASKS}("},
        {"tests/conftest.py": ASKS, "compose.ci.yml": "services:\n  web: {build: .}\n"},
        {
            "tests/conftest.py": ASKS,
            "compose.yml": f"{PUBLISHED}  api:\n    build: .\n    ports: ['5000:80']\n",
        },
        {
            "tests/conftest.py": ASKS,
            "compose.yml": PUBLISHED.replace("web", "web-test"),
        },
    ],
    ids=[
        *("another port", "far away", "a password", "a brace", "two defaults", "no test"),
        *("no Python", "another environment", "two services", "tests in a container"),
    ],
)
def test_an_address_that_is_not_clear_is_not_proposed(
    surveyed: Surveyed, texts: Mapping[str, str]
) -> None:
    found, _ = surveyed({"compose.yml": PUBLISHED, **TESTS, **texts})

    assert "environment" not in written(found)["runner"]


def test_tests_are_started_as_their_service_starts_them(surveyed: Surveyed) -> None:
    compose = "services:\n  test:\n    build: .\n    command: uv run --frozen pytest -q\n"
    found, _ = surveyed({"compose.yml": compose, **TESTS})

    assert written(found)["runner"] == {"command": ["uv", "run", "--frozen", "pytest"]}
    assert ("test command", "compose.yml:2") in [(f.what, f.where) for f in found.found]


MIGRATED = {
    "back/alembic.ini": "[alembic]\nscript_location = alembic\n",
    "back/alembic/env.py": "from app.models import Base\ntarget_metadata = Base.metadata\n",
    "back/tests/integration/test_a.py": "",
    "requirements.txt": "pytest\n",
}


@pytest.mark.parametrize(
    ("compose", "schema", "integration"),
    [
        (
            "services:\n  api: {build: back, depends_on: [db]}\n  db: {image: postgres}\n",
            {"service": "api"},
            ["back/tests/integration"],
        ),
        (
            "services:\n  api-test: {build: back}\n  db: {image: postgres}\n",
            {},
            ["tests/integration"],
        ),
        (
            "services:\n  e2e-test: {build: e2e}\n  api: {build: back}\n  db: {image: postgres}\n",
            {"service": "api"},
            None,
        ),
        (
            "services:\n  all-test: {build: .}\n  db: {image: postgres}\n",
            {
                "migrate-command": ["alembic", "-c", "back/alembic.ini", "upgrade", "head"],
                "alembic-ini": "back/alembic.ini",
            },
            ["back/tests/integration"],
        ),
    ],
    ids=["host", "runner", "another service", "the whole repository"],
)
def test_migrations_run_where_their_files_are(
    surveyed: Surveyed,
    compose: str,
    schema: dict[str, Any],
    integration: list[str] | None,
) -> None:
    found, _ = surveyed({"compose.yml": compose, **MIGRATED})

    usual = {"setup": "migrate", "migrate-command": ["alembic", "upgrade", "head"]}
    assert written(found)["schema"] == usual | schema
    assert written(found).get("suites", {}).get("integration") == integration
    assert "Alembic, models app.models:Base.metadata" in [one.value for one in found.found]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({}, "write a compose file"),
        ({"tasks/jobs.py": "", "compose.yml": WEB}, "would hide the folder tasks/"),
        ({"compose.yml": WEB, ".env.test.example": "A=b\n"}, ".env.test is not: copy it"),
        (
            {"compose.yml": f"{WEB}  ui:\n    image: ui\n    profiles: [debug]\n"},
            "only start with a profile (debug)",
        ),
    ],
)
def test_what_is_in_the_way_is_said(
    surveyed: Surveyed, texts: Mapping[str, str], words: str
) -> None:
    found, _ = surveyed(texts)
    said = "\n".join((*rendered.as_text(found), rendered.next_step(found, written=False)))

    assert words in said


def test_without_a_compose_file_nothing_is_written(surveyed: Surveyed) -> None:
    assert surveyed(TESTS)[0].changes == ()


def test_a_tasks_file_is_shown_what_to_add_and_not_touched(
    surveyed: Surveyed,
) -> None:
    own = "from invoke import task\n@task\ndef test(c): ...\n"
    found, _ = surveyed({"compose.yml": WEB, "tasks.py": own, **TESTS})

    assert "tasks.py" not in [one.path for one in found.changes]
    assert "  ns = Collection(test, unstale.ns)  # beside your own test" in rendered.as_text(found)
    assert "then unstale test.integration" in rendered.next_step(found, written=True)


def test_a_file_that_can_not_be_read_is_not_written_over(
    surveyed: Surveyed,
) -> None:
    class Odd(str):
        __slots__ = ()

        def encode(self, *_: object, **__: object) -> bytes:
            return b"\xff"

    with pytest.raises(ConfigError, match="not UTF-8"):
        surveyed({"compose.yml": WEB, ".gitignore": Odd("x")})


# --- the command ---------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "compose.yml").write_text(WEB)
    (root / "compose.ci.yml").write_text(
        WEB.replace("depends_on", "environment: {A: b}\n    depends_on")
    )
    (root / "requirements.txt").write_text("pytest\n")
    (root / "tests" / "test_a.py").write_text("raise SystemExit('it was imported')\n")
    return root


def init(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `unstale init` where there is no docker command, and no terminal."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("UNSTALE_")}
    return subprocess.run(
        (sys.executable, "-m", "unstale", *arguments[:-1], "init", *arguments[-1:]),
        cwd=root,
        env=environ | {"PATH": str(root), "XDG_STATE_HOME": str(root.parent / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_without_a_terminal_nothing_is_written_and_that_is_said(project: Path) -> None:
    before = tree(project)

    done = init(project, "--json")
    document = json.loads(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert tree(project) == before
    assert document["schema"] == "unstale/init@1"
    assert document["written"] is False
    assert document["next"] == "unstale init --yes"
    assert {c["path"]: c["new"] for c in document["changes"]} == {
        "tasks.py": True,
        "pyproject.toml": True,
    }


def test_yes_writes_and_twice_is_once(project: Path) -> None:
    first = init(project, "--yes")
    once = tree(project)
    second = init(project, "--yes")

    assert first.returncode == second.returncode == 0, first.stderr
    assert "Written: tasks.py, pyproject.toml." in first.stdout
    assert first.stdout.splitlines()[-1].startswith("Next: install docker")
    assert tree(project) == once
    assert "Nothing is to be written." in second.stdout
    assert "no docker command" in first.stdout


@pytest.mark.parametrize(("answer", "is_written"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_it_asks_and_only_a_yes_is_one(
    project: Path, answer: str, *, is_written: bool
) -> None:
    import pexpect

    environ = {k: v for k, v in os.environ.items() if not k.startswith("UNSTALE_")}
    environ |= {"PATH": str(project), "XDG_STATE_HOME": str(project.parent / "state")}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "unstale", "init"],
        cwd=str(project),
        env=environ,
        encoding="utf-8",
        timeout=60,
    )
    child.expect_exact("Write 2 files? [y/N]")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == 0
    assert (project / "tasks.py").exists() is is_written
    assert ("Nothing was written." in (child.before or "")) is not is_written


def test_a_dry_run_writes_nothing_whatever_is_answered(project: Path) -> None:
    before = tree(project)

    done = init(project, "--dry", "--yes")

    assert done.returncode == 0, done.stderr
    assert f"would write {project / 'pyproject.toml'}" in done.stdout
    assert tree(project) == before
