"""What is found in a project's files: environments, who runs tests, migrations, suites."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import pytest

from unstale.errors import ConfigError
from unstale.survey import composefiles, python, services, tasksfile, written
from unstale.survey.repository import Repository
from unstale.survey.services import Service
from unstale.survey.written import Entry, Table

WHOLE = "services:\n  web:\n    build: .\n"
PART = "services:\n  web:\n    environment: {A: b}\n"


def repository(texts: Mapping[str, str]) -> Repository:
    return Repository(tuple(sorted(texts)), lambda name: texts[name])


def chosen(texts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Each environment, and the files that are tried first for it."""
    found = composefiles.choices(repository(texts))
    return {one.name: one.stacks[0].files for one in found}


# --- compose files ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, {}),
        ({"compose.yml": WHOLE}, {"test": ("compose.yml",)}),
        (
            {"docker-compose.yml": WHOLE, "docker-compose.override.yml": PART},
            {"test": ("docker-compose.yml", "docker-compose.override.yml")},
        ),
        (
            {"docker-compose.yml": WHOLE, "docker-compose.test.yml": PART},
            {"test": ("docker-compose.yml", "docker-compose.test.yml")},
        ),
        (
            {"docker-compose.yml": WHOLE, "docker-compose.test.yml": WHOLE},
            {"test": ("docker-compose.test.yml",)},
        ),
        (
            {"docker/compose.base.yml": WHOLE, "docker/compose.ci.yaml": PART},
            {"ci": ("docker/compose.base.yml", "docker/compose.ci.yaml")},
        ),
        (
            {"local.yml": WHOLE, "production.yml": WHOLE, "mkdocs.yml": "nav: []\n"},
            {"local": ("local.yml",), "production": ("production.yml",)},
        ),
        (
            {".gitlab-ci.yml": "services: [postgres:17]\n", "docker/stack.yml": WHOLE},
            {"stack": ("docker/stack.yml",)},
        ),
        (
            {"deploy/local/docker-compose-dev.yml": WHOLE},
            {"dev": ("deploy/local/docker-compose-dev.yml",)},
        ),
        (
            {"docker/compose.test.yml": WHOLE, "compose.test.yml": WHOLE},
            {"test": ("docker/compose.test.yml",)},
        ),
        ({"tests/data/compose.yml": "a: b\n"}, {}),
        ({"compose.override.example.yml": WHOLE, "compose.base.yml": WHOLE}, {}),
        ({"compose.yml": "services:\n  - ["}, {"test": ("compose.yml",)}),  # compose will tell
        (
            {"compose.yml": WHOLE, "compose.ci.yml": "include: [compose.yml]\n"},
            {"ci": ("compose.ci.yml",), "test": ("compose.yml",)},
        ),
        (
            {
                "compose.yml": WHOLE,
                "compose.e2e.yml": "services:\n  e2e:\n    image: a\n    depends_on: [web]\n",
            },
            {"e2e": ("compose.yml", "compose.e2e.yml"), "test": ("compose.yml",)},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_the_files_of_each_environment(
    texts: Mapping[str, str], expected: dict[str, tuple[str, ...]]
) -> None:
    assert chosen(texts) == expected


def test_a_stack_beside_this_one_is_no_environment() -> None:
    proxy = "services:\n  traefik: {image: traefik}\n"
    known = repository({"compose.yml": WHOLE, "compose.traefik.yml": proxy, "compose.ci.yml": PART})

    assert [one.name for one in composefiles.choices(known)] == ["ci", "test"]
    assert composefiles.neighbours(known) == {"traefik": "compose.traefik.yml"}


def test_what_was_not_chosen_is_named() -> None:
    (found,) = composefiles.choices(
        repository({"docker/compose.test.yml": WHOLE, "compose.test.yml": WHOLE})
    )
    assert found.others == ("compose.test.yml",)


def test_a_file_that_is_whole_may_be_meant_to_be_laid_over_the_plain_one() -> None:
    found, _ = (
        one.stacks
        for one in composefiles.choices(repository({"compose.yml": WHOLE, "compose.ci.yml": WHOLE}))
    )
    assert found[0].is_unsure
    assert found[1].files == ("compose.yml", "compose.ci.yml")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("dev", "ci", "test"), "test"),
        (("dev", "ci", "prod"), "ci"),
        (("prod", "system-test"), "system-test"),
        (("prod", "playground"), "playground"),
        (("prod",), "prod"),
        ((), "test"),
    ],
)
def test_the_default_environment_is_one_for_tests_and_no_live_one(
    names: tuple[str, ...], expected: str
) -> None:
    assert composefiles.default_of(names) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((".env.test", "env/.env.test"), (("env/.env.test",), "")),
        ((".envs/.test/.django", ".envs/.test/.postgres"), None),
        (("env/.env.test.example",), ((), "env/.env.test.example")),
        ((".env",), ((), "")),
    ],
)
def test_env_files_are_found_and_a_lone_example_is_named(
    files: tuple[str, ...], expected: tuple[tuple[str, ...], str] | None
) -> None:
    found = composefiles.env_files(repository(dict.fromkeys(files, "")), "test")

    assert found == (expected or (files, ""))


# --- services --------------------------------------------------------------------------

DEV = "FROM python AS base\nRUN pip install app\nFROM base AS dev\nRUN pip install pytest\n"


def seen(text: str, files: Mapping[str, str] | None = None) -> tuple[str, str, str]:
    """The runner, the database, and why the first may be another."""
    known = repository({"compose.yml": text, **(files or {})})
    found = services.of_yaml(composefiles.services_of(known, ["compose.yml"]), "compose.yml")
    who = services.runner(known, found)
    return who.value, services.database(known, found).value, who.unsure


@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        ("services:\n  app: {build: .}\n  app-tests: {build: .}\n", {}, "app-tests"),
        ("services:\n  a: {build: .}\n  b: {build: ., command: pytest -q}\n", {}, "b"),
        (
            "services:\n  e2e-test: {build: .}\n  unit-test: {build: ., command: [pytest]}\n",
            {},
            "unit-test",
        ),
        ("services:\n  a: {build: {context: ., target: dev}}\n", {"Dockerfile": DEV}, "a"),
        ("services:\n  a: {build: {context: ., target: base}}\n", {"Dockerfile": DEV}, "host"),
        (
            "services:\n  a: {build: back}\n",
            {
                "back/Dockerfile": "FROM p\nCOPY requirements.txt .\n",
                "back/requirements.txt": "pytest\n",
            },
            "a",
        ),
        (
            "services:\n  a: {build: .}\n",
            {"Dockerfile": "FROM p\n# RUN pip install pytest\nRUN pip install .\n"},
            "host",
        ),
        ("services:\n  a: {build: .}\n", {"Dockerfile": "FROM p\nRUN uv sync --group dev\n"}, "a"),
        ("services:\n  test-db: {image: postgres}\n", {}, "host"),
        (
            "services:\n  a: {build: back}\n",
            {
                "back/Dockerfile": "FROM p\nRUN --mount=type=cache,target=/c \\\n    uv sync\n",
                "back/pyproject.toml": "[dependency-groups]\ndev = ['pytest']\n",
            },
            "a",
        ),
        (
            "services:\n  a: {build: .}\n",
            {
                "Dockerfile": "FROM p\nRUN poetry install --no-root \\\n  --only main\n",
                "pyproject.toml": "[tool.poetry.group.dev.dependencies]\npytest = '*'\n",
            },
            "host",
        ),
    ],
)
def test_the_runner_says_test_or_has_pytest_or_is_this_machine(
    text: str, files: Mapping[str, str], expected: str
) -> None:
    assert seen(text, files)[0] == expected


def test_where_a_service_is_written_is_told_by_its_line() -> None:
    known = repository({"a/compose.yml": "services:\n  a: {build: .}\n  b:\n    image: x\n"})
    file = "a/compose.yml"

    found = services.of_yaml(composefiles.services_of(known, [file]), file)

    assert [(s.name, s.where, s.context) for s in found] == [
        ("a", "a/compose.yml:2", "a"),
        ("b", "a/compose.yml:3", ""),
    ]


def test_several_runners_are_named_and_one_is_chosen() -> None:
    value, _, unsure = seen("services:\n  a-test: {build: .}\n  b-test: {build: .}\n")

    assert value == "a-test"
    assert "2 built services whose name says test; b-test may be meant" in unsure


@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        ("services:\n  db: {image: 'postgis/postgis:17-3.5'}\n", {}, "db"),
        ("services:\n  db: {build: db}\n", {"db/Dockerfile": "FROM postgres:17\n"}, "db"),
        ("services:\n  db: {image: 'mysql:8'}\n", {}, "none"),
        (
            (
                "services:\n  a: {image: postgres}\n  b: {image: postgres}\n"
                "  app: {build: ., depends_on: {b: {condition: service_healthy}}}\n"
            ),
            {},
            "b",
        ),
        ("services:\n  app: {build: .}\n", {}, "none"),
    ],
)
def test_the_database_is_the_postgresql_that_is_needed(
    text: str, files: Mapping[str, str], expected: str
) -> None:
    assert seen(text, files)[1] == expected


def test_what_a_later_file_says_of_a_service_counts() -> None:
    base = Service("db", "postgres:16", "a.yml:2", needs=("x",))
    over = Service("db", "postgres:17", "b.yml:2")

    assert services.merged([[base], [over]]) == (
        Service("db", "postgres:17", "b.yml:2", needs=("x",)),
    )


def test_what_compose_resolves_is_read_likewise() -> None:
    model = {
        "services": {
            "app": {"build": {"context": "/p/back", "target": "dev"}, "command": ["pytest"]},
            "far": {"build": {"context": "/other"}},
        }
    }
    app, far = services.of_model(model, "/p", [Service("app", "", "compose.yml:2")])

    assert (app.context, app.target, app.where, app.is_built) == (
        *("back", "dev", "compose.yml:2"),
        True,
    )
    assert far.context == "../other"


def test_ports_of_this_machine_are_read_in_every_form() -> None:
    text = (
        "services:\n  a:\n    image: x\n    ports:\n      - 127.0.0.1:5000:80\n      - '90'\n"
        "      - 6000:81/udp\n      - '${P:-1}:82'\n      - 7000-7002:83\n      - '[::1]:84:85'\n"
        "      - {published: 86, target: 87}\n"
    )
    known = repository({"compose.yml": text})
    (one,) = services.of_yaml(composefiles.services_of(known, ["compose.yml"]), "compose.yml")
    ports = [
        {"published": "5000", "target": 80, "protocol": "tcp"},
        {"target": 90},
        {"published": "6000", "target": 81, "protocol": "udp"},
    ]
    (resolved,) = services.of_model({"services": {"a": {"ports": ports}}}, "/p")

    assert one.ports == ((5000, 80), (84, 85), (86, 87))
    assert resolved.ports == ((5000, 80),)


# --- Python ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("uv -n run --frozen pytest -q", "uv -n run --frozen pytest"),
        ('["poetry", "run", "pytest", "-x"]', "poetry run pytest"),
        ("python3.12 -m pytest tests", "python3.12 -m pytest"),
        ("pytest -q", ""),
        ("wait-for db -- pytest", ""),
        ("uv sync && uv run pytest", ""),
        ("sh -c 'uv run pytest'", ""),
        ("python manage.py test", ""),
        ("uv run '", ""),
        ('["uv", "run", ', ""),
        ("", ""),
    ],
)
def test_what_starts_pytest_is_taken_from_the_services_command(command: str, words: str) -> None:
    assert " ".join(python.launched(command)) == words


@pytest.mark.parametrize(
    ("texts", "where"),
    [
        ({"requirements-dev.txt": "a\npytest>=8\n"}, "requirements-dev.txt:2"),
        ({"pyproject.toml": "[dependency-groups]\ndev = [\n'pytest']\n"}, "pyproject.toml:3"),
        (
            {"pyproject.toml": "[tool.poetry.group.dev.dependencies]\npytest = '^8'\n"},
            "pyproject.toml:2",
        ),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "pyproject.toml:1"),
        ({"pytest.ini": "[pytest]\n"}, "pytest.ini"),
        ({"tox.ini": "[testenv]\ndeps = pytest\n"}, "tox.ini:2"),
    ],
)
def test_where_pytest_is_asked_for(texts: Mapping[str, str], where: str) -> None:
    words, found = python.command(repository(texts))

    assert (words, found.where, found.unsure) == (("pytest",), where, "")


def test_django_without_pytest_runs_its_own_tests_and_is_told_of_junit() -> None:
    words, found = python.command(
        repository({"site/manage.py": "import django\n", "site/a/tests.py": ""})
    )

    assert words == ("python", "site/manage.py", "test")
    assert "JUnit" in found.unsure


def test_without_a_sign_of_pytest_it_is_guessed_and_said_to_be() -> None:
    words, found = python.command(repository({"tests/test_a.py": ""}))

    assert words == ("pytest",)
    assert found.unsure == "no requirement names pytest"


def test_suites_are_folders_that_say_what_they_are() -> None:
    files = (
        *("tests/unit/test_a.py", "tests/e2e/test_b.py", "back/tests/unit/x/test_c.py"),
        "package/tests.py",
    )

    found = python.suites(repository(dict.fromkeys(files, "")))

    assert found == {"unit": ("tests/unit", "back/tests/unit"), "integration": ("tests/e2e",)}
    assert python.test_folders(repository(dict.fromkeys(files, ""))) == ("tests", "back/tests")


ENV = (
    "from alembic import context\nfrom app.models import Base as B\ntarget_metadata = B.metadata\n"
)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            {"alembic.ini": "[alembic]\nscript_location = migrations\n", "migrations/env.py": ENV},
            ("alembic.ini", "migrations", "app.models:Base.metadata"),
        ),
        (
            {
                "back/alembic.ini": "[alembic]\nscript_location = %(here)s/alembic\n",
                "back/alembic/env.py": "import app.db\ntarget_metadata = app.db.metadata\n",
            },
            ("back/alembic.ini", "back/alembic", "app.db:metadata"),
        ),
        (
            {"alembic.ini": "[alembic]\nscript_location = app:migrations\n",
             "app/migrations/env.py": "target_metadata = None\n"},
            ("alembic.ini", "app/migrations", None),
        ),
        ({"alembic.ini": "[alembic]\nscript_location = x\n"}, ("alembic.ini", "", None)),
        ({"pyproject.toml": "[tool.alembic]\nscript_location = 'm'\n", "m/env.py": ""},
         ("pyproject.toml", "m", None)),
    ],
)  # fmt: skip
def test_alembic_and_its_models(
    texts: Mapping[str, str], expected: tuple[str, str, str | None]
) -> None:
    found = python.migrations(repository(texts))

    assert found is not None
    assert (found.ini, found.script, found.metadata) == expected


def test_other_ini_files_are_no_alembic() -> None:
    assert python.migrations(repository({"setup.ini": "[a]\nb\n", "x.ini": "]"})) is None


# --- tasks.py ----------------------------------------------------------------------------

OURS = ("test", "db", "plan")


@pytest.mark.parametrize(
    ("text", "state", "line"),
    [
        ("from unstale import ns\n", "done", None),
        ("import unstale\nns = x(unstale.ns)\n", "done", None),
        ("from invoke import task\n@task\ndef go(c): ...\n", "add", "ns.add_task(go)"),
        (
            "from invoke import task\n@task(name='test')\ndef run_all(c): ...\n",
            "mount",
            "ns = Collection(run_all, unstale.ns)  # beside your own test",
        ),
        ("from invoke import Collection\nns = Collection()\n", "mount",
         "ns.add_collection(unstale.ns)"),
        ("import celery\napp = celery.Celery()\n", "foreign", None),
        ("def (", "unreadable", None),
        ("", "add", "from unstale import ns"),
    ],
)  # fmt: skip
def test_a_tasks_file_gets_the_lines_that_it_needs(text: str, state: str, line: str | None) -> None:
    found = tasksfile.advice(text, OURS)

    assert found.state == state
    assert line is None or line in found.lines


def test_the_lines_do_work() -> None:
    """As typed by Invoke's own loader: a task that clashes, and one that does not."""
    from invoke import Collection

    for text in (
        "from invoke import task\n@task\ndef go(c): ...\n",
        "from invoke import task\n@task\ndef test(c): ...\n",
        "from invoke import Collection, task\n@task\ndef go(c): ...\nns = Collection(go)\n",
    ):
        lines = [one for one in tasksfile.advice(text, OURS).lines if not one.startswith("then")]
        module: dict[str, object] = {}
        exec(text + "\n".join(lines), module)
        found = module["ns"]
        assert isinstance(found, Collection)
        names = set(found.task_names)
        assert names & {"test.integration", "unstale.test.integration"}
        assert names & {"go", "test"}
        found.collections.pop("unstale", None)
        if "go" in found.tasks and "image" in found.collections:
            del found.tasks["go"]  # the namespace is everybody's


def test_a_new_tasks_file_needs_nothing_more() -> None:
    assert tasksfile.advice(tasksfile.NEW, OURS).state == "done"


# --- what is written -----------------------------------------------------------------------

TABLES = (
    Table(("tool", "unstale"), (Entry("default-env", "test"),)),
    Table(
        ("tool", "unstale", "environments", "a.b"),
        (Entry("compose-files", ("x.yml", 'o"dd\x7f.yml'), "many words " * 20, "a\nline"),),
    ),
)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "[tool.black]\nline-length = 100  # mine\n",
        "a = 1",
        "x = 1\r\n\r\n[tool]\r\n",
        "n = nan\n",
    ],
)
def test_what_is_added_reads_back_and_what_was_there_stays(before: str) -> None:
    after = written.added(before, TABLES)

    assert after.startswith(before)
    assert tomllib.loads(after)["tool"]["unstale"] == {
        "default-env": "test",
        "environments": {"a.b": {"compose-files": ["x.yml", 'o"dd\x7f.yml']}},
    }
    assert "\n# unsure: many words" in after.replace("\r", "")
    assert "\n# a?line" in after.replace("\r", "")
    assert ("\r\n" in before) == ("\r\n" in after)
    assert max(map(len, after.splitlines())) <= 100


@pytest.mark.parametrize("text", ["tool = {black = {}}\n", "x = [\n"])
def test_a_file_that_leaves_no_room_is_refused_with_words(text: str) -> None:
    with pytest.raises(ConfigError):
        written.added(text, TABLES)


@pytest.mark.parametrize("text", [".unstale/\n", "a\n/.unstale\n", "*\n!src\n", "**/.unstale/"])
def test_a_folder_that_is_ignored_needs_no_line(text: str) -> None:
    assert written.ignoring(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ".unstale/\n"), ("a", "a\n.unstale/\n"), ("a\r\n", "a\r\n.unstale/\r\n")],
)
def test_a_line_is_added_in_the_files_own_way(text: str, expected: str) -> None:
    assert written.ignoring(text) == expected
