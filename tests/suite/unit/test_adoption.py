"""What becomes of a Makefile or a shell runner: nothing of it is run, and nothing is dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale.survey.adoption import Adoption, Unit, adoption, summary
from unstale.survey.equivalents import Kind
from unstale.survey.makefile import parse
from unstale.survey.script import commands
from unstale.survey.thin import scattered, thin

CLASSIC = Path(__file__).parent / "classic"
SCRIPT = "scripts/test-integration.sh"


def _read(path: str) -> str:
    file = CLASSIC / path
    return file.read_text(encoding="utf-8") if file.is_file() else ""


@pytest.fixture(scope="module")
def makefile() -> Adoption:
    return adoption("Makefile", _read("Makefile"), _read)


@pytest.fixture(scope="module")
def script() -> Adoption:
    return adoption(SCRIPT, _read(SCRIPT), _read)


def _unit(found: Adoption, name: str) -> Unit:
    return next(unit for unit in found.units if unit.name == name)


def _becomes(command: str) -> str:
    (unit,) = adoption("a.sh", f"{command}\n", lambda _: "").units
    return unit.becomes


@pytest.mark.parametrize(
    ("classic", "ours"),
    [
        ("docker image inspect shop --format '{{.Created}}'", "image.status"),
        ('git log --format="%H %ai %s" -10', "image.timeline"),
        ("docker images | grep shop", "image.list"),
        ("docker history shop --no-trunc", "image.list --history"),
        (
            "docker run --rm shop cat /app/tests/t.py | grep bearer_scheme",
            "image.verify --grep bearer_scheme --path /app/tests/t.py",
        ),
        (
            "docker run --rm -v /a:/b shop grep -n bearer_scheme /app/t.py",
            "image.verify --grep bearer_scheme --path /app/t.py",
        ),
        (
            "docker run --rm shop grep -E 'a[0-9]+' /app/t.py",
            'image.verify --regex "a[0-9]+" --path /app/t.py',
        ),
        ("docker compose -f docker/docker-compose.test.yml down -v", "stack.down"),
        (
            "docker compose build --no-cache test-runner",
            "image.build --no-cache --service test-runner",
        ),
        ("docker-compose build test-runner", "image.build --service test-runner"),
        ("docker compose build --no-cache", "image.build --all --no-cache"),
        (
            "docker compose build --build-arg BUILDKIT_INLINE_CACHE=1",
            "image.build --build-arg BUILDKIT_INLINE_CACHE=1",
        ),
        (
            "docker compose up --abort-on-container-exit --exit-code-from test-runner",
            "test.run",
        ),
        ("docker compose up -d --wait", "stack.up"),
        ("docker compose up -d --build app", "image.build --all stack.up"),
        ("docker rmi $(docker images -q shop)", "image.clean"),
        ("git diff HEAD~5..HEAD --stat", "image.status"),
        ("alembic upgrade head", "db.migrate"),
        ("docker compose exec -T app alembic upgrade head", "db.migrate"),
        ("docker compose run --rm app sh -c 'alembic upgrade head'", "db.migrate"),
        ("docker exec -it shop-app-1 alembic current", "db.status"),
        ("alembic check", "db.check"),
        ("docker compose exec postgres psql -U shop -c '\\dt'", "db.tables"),
        ("docker compose exec postgres psql -c 'SHOW fsync'", "db.settings"),
        (
            'docker compose exec db psql -c "SELECT email FROM users"',
            'db.shell -- -c "SELECT email FROM users"',
        ),
        ("docker compose logs -f app", "stack.logs --follow"),
        ("docker compose ps", "stack.status"),
        ("docker compose restart app", "stack.down stack.up"),
        ("docker compose pull", "image.build --pull"),
        ("diff env/.env.ci env/.env.test", "env.diff ci test"),
        ("pytest tests/unit -q", "test.unit"),
        ("uv run python -m pytest -m integration", "test.run"),
        ("COMPOSE_PROJECT_NAME=a sudo timeout -k 1 60 docker compose down", "stack.down"),
        ("if ! docker compose exec -T app pytest tests; then exit 1; fi", "test.run"),
        ("ruff check src", ""),
        ("docker compose version", ""),
        ("trap 'docker compose down' EXIT", ""),
    ],
)
def test_a_command_becomes_a_task(classic: str, ours: str) -> None:
    assert _becomes(classic) == ours


@pytest.mark.parametrize(
    "command",
    [
        "docker system prune -af",
        "docker volume rm data",
        "docker compose cp app:/x .",
        "docker compose exec app python seed.py",
        "docker network create shop",
        "$RUNNER tests",
        "./scripts/wait-for-postgres.sh",
        "kubectl exec postgres-0 -- true",
    ],
)
def test_what_can_not_be_told_is_named(command: str) -> None:
    found = adoption("a.sh", f"\n{command}\n", lambda _: "")

    assert [(row.line, row.text) for row in found.unknown] == [(2, command)]


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("test-unit", "test.unit"),
        ("test-integration", "test.integration"),
        ("test-integration-build", "test.integration --build"),
        ("test-integration-services", "test.integration --services"),
        ("test-integration-debug", "test.integration --keep --verbose"),
        ("test-integration-cleanup", "stack.down"),
        ("test-ci", "test.integration --build"),
        ("test", "test.unit test.integration"),
        ("rebuild", "image.build --no-cache --service test-runner"),
        ("rebuild-all", "image.build --all --no-cache"),
        ("build-inline", "image.build --build-arg BUILDKIT_INLINE_CACHE=1 --service test-runner"),
        ("migrate", "db.migrate"),
        ("has-fix", "image.verify --grep bearer_scheme --path /app/tests/api/test_keys.py"),
        ("when", "image.status image.timeline"),
        ("layers", "image.list image.list --history"),
        ("changed", "image.status"),
        ("clean-images", "image.clean"),
        ("envs", "env.diff ci test"),
        ("tables", "db.tables"),
        ("up", "stack.up"),
        ("logs", "stack.logs --follow"),
    ],
)
def test_a_target_becomes_what_it_does(makefile: Adoption, name: str, becomes: str) -> None:
    unit = _unit(makefile, name)

    assert (unit.becomes, unit.is_guess) == (becomes, False)


def test_a_target_that_calls_what_is_not_there_is_guessed_by_its_name(makefile: Adoption) -> None:
    unit = _unit(makefile, "validate-docker-image")

    assert (unit.becomes, unit.is_guess) == ("image.status --fail-on-stale", True)
    assert unit.rows[0].meaning.why.endswith("is not there")


def test_the_other_targets_are_told_apart(makefile: Adoption) -> None:
    kinds = {unit.name: unit.kind for unit in makefile.units if not unit.becomes}

    assert kinds == {
        "help": Kind.KEPT,
        "lint": Kind.KEPT,
        "migration": Kind.KEPT,
        "publish": Kind.KEPT,
        "wait": Kind.PART,
        "prune": Kind.UNKNOWN,
    }


def test_what_is_not_understood_has_its_line(makefile: Adoption, script: Adoption) -> None:
    lines = _read("Makefile").splitlines()
    assert [lines[row.line - 1].strip() for row in makefile.unknown] == [
        "include local.mk",
        "./scripts/validators/validate_docker_image_freshness.sh",
        "docker system prune -af --volumes",
    ]
    assert [(row.line, row.text.split()[0]) for row in script.unknown] == [
        (28, "--parallel"),
    ]


def test_the_script_is_a_run_and_its_options_are_ours(script: Adoption) -> None:
    assert {unit.name: unit.becomes for unit in script.units} == {
        SCRIPT: "test.integration",
        "--build": "test.integration --build",
        "--no-cache": "test.integration --no-cache",
        "--keep": "test.integration --keep",
        "--verbose": "test.integration --verbose",
        "--services": "test.integration --services",
        "--parallel": "",
        "-h, --help": "--help test.integration",
        "--": "test.integration -- PYTEST ARGS",
    }


def test_what_waits_checks_and_cleans_up_is_a_part_of_every_run(script: Adoption) -> None:
    parts = {r.line for r in script.units[0].rows if r.meaning.kind is Kind.PART and r.meaning.why}

    assert {35, 36, 40, 43, 60, 63, 65, 66} <= parts


def test_the_text_of_a_here_document_is_no_command(script: Adoption) -> None:
    assert not [row for row in script.units[0].rows if row.line in (16, 17)]


def test_what_says_where_things_are_becomes_configuration(
    script: Adoption, makefile: Adoption
) -> None:
    test = ("environments", "test")
    wanted = {
        (test, "compose-files"): ("docker/docker-compose.test.yml",),
        (test, "env-file"): "env/.env.test",
        (test, "runner"): "test-runner",
        (test, "database"): "postgres",
        (("suites",), "integration"): ("-m", "integration", "-v", "--tb=short"),
        (("schema",), "service"): "test-runner",
        (("verify",), "/app/tests/api/test_keys.py"): "bearer_scheme",
    }

    assert {(one.table, one.key): one.value for one in script.said} == wanted
    assert {(one.table, one.key): one.value for one in makefile.said} == {
        **wanted,
        (("suites",), "unit"): ("tests/unit",),
    }
    assert {one.path for one in makefile.said} == {"", SCRIPT}


@pytest.mark.parametrize(
    ("tasks", "whole"),
    [
        (["stack.down", "image.build --all", "stack.up", "test.run", "stack.down"], "--build"),
        (["image.build --all --no-cache", "stack.up", "test.run", "stack.down"], "--no-cache"),
        (["stack.up", "db.migrate", "test.run"], "--keep"),
        (["stack.down", "stack.up", "test.run"], ""),
    ],
)
def test_a_chain_that_is_a_run_becomes_one(tasks: list[str], whole: str) -> None:
    assert summary(tasks) == " ".join(filter(None, ("test.integration", whole)))


def test_a_chain_that_is_no_run_stays_one() -> None:
    assert summary(["stack.up", "db.migrate"]) == "test.integration --services"
    assert summary(["stack.down", "stack.up"]) == "stack.down stack.up"
    assert summary(["test.run"]) == "test.run"
    assert summary(["test.unit", "image.build --pull stack.up", "test.run"]) == (
        "test.integration --build --keep test.unit"
    )
    assert summary([]) == ""


def test_what_a_called_script_does_besides_is_named() -> None:
    text = "a:\n\t./run.sh\nb:\n\tnpm ci\n\tdocker compose up -d\n"
    script = "f() { :; }\nf\ndocker compose up --exit-code-from x\ncurl example.com\n./docker.py\n"

    a, b = adoption("Makefile", text, lambda _: script).units

    assert (a.becomes, a.left) == ("test.run", ("run.sh:4", "run.sh:5"))
    assert (b.becomes, b.left) == ("stack.up", ("line 4",))
    assert thin(text, adoption("Makefile", text, lambda _: script)) == text


def test_targets_that_are_understood_call_inv(makefile: Adoption) -> None:
    text = _read("Makefile")

    after = thin(text, makefile)

    assert after.split("\n")[:18] == text.split("\n")[:18]  # nothing before is touched
    assert "test-integration: ## Rebuilds if needed\n\tinv test.integration $(ARGS)\n" in after
    assert "up:\n\tinv stack.up\n\nlogs:\n\tinv stack.logs --follow\n" in after
    for name in ("lint", "migration", "validate-docker-image", "prune", "wait", "publish"):
        rule = text[text.index(f"\n{name}:") :].split("\n\n")[0]
        assert rule in after
    again = adoption("Makefile", after, _read)
    assert thin(after, again) == after


def test_what_a_target_is_given_reaches_the_tests() -> None:
    text = "a: b c\n\tdocker compose run --rm t pytest $(K) -x\nb:\n\tnpm ci\nc:\n\talembic check\n"

    after = thin(text, adoption("Makefile", text, lambda _: ""))

    assert after.startswith("a: b\n\tinv test.integration $(if $(K),-- $(K))\nb:\n\tnpm ci\n")


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("a:\nifdef CI\n\tdocker compose up -d\nelse\n\tdocker compose up\nendif\n", 2),
        ("a:\n\tdocker compose up -d\nifdef CI\n\tdocker compose ps\nendif\n", 3),
        ("a: check \\\n  lint\n\tdocker compose up -d\n", 1),
        ("a:: check\n\tdocker compose up -d\n", 1),
        ("a: %: %.c\n\tdocker compose up -d\n", 1),
        ("a:\n\tdocker compose up -d\nX = 1\n\tdocker compose ps\n", 3),
        ("a:\r\n\tdocker compose up -d\r\n# why\r\n\tdocker compose ps\r\n", 3),
        ("ifdef CI\na:\n\tdocker compose up\nelse\na:\n\tdocker compose up -d\nendif\n", 4),
    ],
)
def test_a_rule_that_is_more_than_a_line_and_a_recipe_stays_and_is_named(
    rule: str, line: int
) -> None:
    text = f"{rule}b:\n\tdocker compose logs \\\n  api\n"
    found = adoption("Makefile", text, lambda _: "")

    assert thin(text, found).startswith(f"{rule}b:\n\tinv stack.logs")
    assert [(unit.name, at) for unit, at in scattered(text, found)] == [("a", line)]


def test_targets_that_need_each_other_end() -> None:
    text = "a: b\n\tdocker compose up -d\nb: a\n\t$(MAKE) a\n\t./run.sh\n"

    found = adoption("Makefile", text, lambda _: "./run.sh\nmake a\n")

    assert [unit.becomes for unit in found.units] == ["stack.up", "stack.up"]


def test_no_shell_of_make_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f"X := $(shell touch {mark})\nY != touch {mark}\na:\n\t$(X) $(shell touch {mark})\n"

    adoption("Makefile", text, lambda _: "")

    assert not mark.exists()


# --- the readers ----------------------------------------------------------------------

_WRAPPERS = (
    "{}",
    "{} # no command",
    "if {}; then\n:\nfi",
    "if true; then {}; else :; fi",
    "for x in 1 2; do\n  {}\ndone",
    "while {}; do :; done",
    "f() {{\n{}\n}}",
    "function g {{ {}; }}",
    "case $1 in\n  a|b) {} ;;\n  *) : ;;\nesac",
    "( {} )",
    "{{ {}; }}",
    "{} > /dev/null 2>&1",
    "cat <<'EOF' && {}\nwords of no command\nEOF",
    "! {} || :",
    "X=$({})",
    'echo "$({})"',
    ": `{}`",
    ": | {}",
    "[[ -n $A && -z $B ]] && {}",
    "(( 1 + 1 )); {}",
    "A=(1 2 3); {}",
)


@given(st.lists(st.sampled_from(_WRAPPERS), min_size=1, max_size=12))
def test_each_command_is_found_once_with_its_line(wrappers: list[str]) -> None:
    lines, places = list[str](), dict[str, int]()
    for number, wrapper in enumerate(wrappers):
        name = f"mark{number}"
        rows = wrapper.format(f"{name} 'a b' --c").split("\n")
        places[name] = len(lines) + next(n for n, row in enumerate(rows, 1) if name in row)
        lines += rows

    found = list(commands("\n".join(lines)))
    for one in found:
        found += [*one.inner, *one.piped]  # which may have their own
    marks = [(c.words[0], c.line, c.words[1:]) for c in found if c.words[0].startswith("mark")]

    assert sorted(marks) == sorted((name, line, ("a b", "--c")) for name, line in places.items())


@given(st.text(st.sampled_from("a $(){}[];|&<>'\"`\\\n\t:=#%"), max_size=80))
def test_any_text_is_read_to_its_end(text: str) -> None:
    rows = text.count("\n") + 1

    assert all(1 <= one.line <= rows for one in commands(text))
    assert all(1 <= one.line <= rows for one in parse(text).targets)
    for path in ("Makefile", "a.sh"):
        found = adoption(path, text, lambda _: "")
        assert all(1 <= row.line <= rows for row in found.unknown)


def test_a_recipe_has_the_lines_of_the_makefile() -> None:
    made = parse("a:\n\tone \\\n\t  more; \\\n\ttwo\n\n\tthree\nb: c ; four\n")

    (a, b) = made.targets
    assert [(one.line, one.words) for one in a.commands] == [
        (2, ("one", "more")),
        (4, ("two",)),
        (6, ("three",)),
    ]
    assert (b.needs, [one.words for one in b.commands]) == (("c",), [("four",)])


def test_variables_are_those_of_make() -> None:
    text = "A ?= 1\nA ?= 2\nB := $(A)x\nB += y\nC = $(C)\ndefine D\nd1\nd2\nendef\nt: X = 1\nt:\n"
    text += "\t$(B) $(NONE) $$HOME $@ $(C)\n\t$(D)\n"

    (t,) = parse(text).targets

    assert [one.words[0] for one in t.commands] == ["1x", "d1", "d2"]
    assert t.commands[0].words[:4] == ("1x", "y", "${NONE}", "$HOME")
