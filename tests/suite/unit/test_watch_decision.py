"""What a change asks for: only what it made stale."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unstale.watch.decision import Decision, View, decide

VIEW = View(
    environment="test",
    mounted={"test-runner": ("tests",)},
    env_files={"test": ("env/.env.test",), "ci": ("env/.env.ci",)},
    compose_files=("docker/docker-compose.test.yml",),
    migrations=("migrations/versions",),
    suites={
        "smoke": ("tests/smoke",),
        "unit": ("tests/unit",),
        "regression": ("tests/regression",),
    },
    runner="test-runner",
)


def stale(view: View = VIEW, **services: tuple[str, ...]) -> View:
    named = {name.replace("_", "-"): paths for name, paths in services.items()}
    return replace(view, stale=named, words=dict.fromkeys(named, "stale"))


def lines(found: Decision) -> list[str]:
    return [str(cause) for cause in found.causes]


def test_a_source_rebuilds_and_restarts_the_service_that_has_it() -> None:
    found = decide(["app/main.py"], stale(app=("app/main.py",)), suite="smoke")

    assert lines(found) == ["app/main.py → image app stale → build, up, test.run smoke"]
    assert (found.builds, found.up, found.tests, found.suite) == (("app",), True, True, "smoke")
    assert (found.migrate, found.parity) == (False, False)


def test_the_runners_image_alone_restarts_nothing() -> None:
    found = decide(["tests/x.py"], stale(test_runner=("tests/x.py",)))

    assert lines(found) == ["tests/x.py → image test-runner stale → build, test.run"]
    assert not found.up


def test_services_with_the_same_cause_are_told_together() -> None:
    view = stale(app=("a.py",), worker=("a.py",), other=("b.py",))

    assert lines(decide(["a.py", "b.py"], view)) == [
        "a.py → images app, worker stale → build, up, test.run",
        "b.py → image other stale → build, up, test.run",
    ]


def test_a_file_that_two_of_them_have_in_part_is_told_for_each() -> None:
    found = decide(["a.py", "b.py"], stale(app=("a.py", "b.py"), worker=("a.py",)))

    assert [cause.paths for cause in found.causes] == [("a.py", "b.py"), ("a.py",)]


def test_what_was_stale_before_is_built_as_well() -> None:
    found = decide(["README.md"], stale(app=("old.py",)))

    assert lines(found) == [
        "old.py → image app stale → build, up, test.run",
        "README.md → nothing here reads it",
    ]
    assert found.builds == ("app",)


def test_a_test_that_is_mounted_runs_tests_alone() -> None:
    found = decide(["tests/api/test_x.py"], VIEW)

    assert lines(found) == ["tests/api/test_x.py → mounted into test-runner → test.run"]
    assert found == replace(Decision(found.causes), tests=True)


@pytest.mark.parametrize(
    ("changes", "suite"),
    [
        (["tests/smoke/test_x.py"], "smoke"),
        (["tests/smoke/test_x.py", "tests/smoke/sub/test_y.py"], "smoke"),
        (["tests/smoke/test_x.py", "tests/regression/test_y.py"], None),
        (["tests/api/test_x.py"], None),
        (["tests/unit/test_x.py"], None),  # not one that runs in the stack
        (["tests/smoke_too/test_x.py"], None),
    ],
)
def test_the_suite_that_has_all_changes_is_enough(changes: list[str], suite: str | None) -> None:
    assert decide(changes, VIEW).suite == suite


def test_a_suite_that_is_asked_for_is_run_whatever_changed() -> None:
    assert decide(["tests/smoke/test_x.py"], VIEW, suite="regression").suite == "regression"


def test_an_image_that_is_stale_asks_for_all_tests() -> None:
    assert decide(["tests/smoke/x.py"], stale(test_runner=("tests/smoke/x.py",))).suite is None


def test_an_env_file_is_compared_and_makes_its_own_stack_anew() -> None:
    mine, other = decide(["env/.env.test"], VIEW), decide(["env/.env.ci"], VIEW)

    assert lines(mine) == ["env/.env.test → env file of test → env.check, up, test.run"]
    assert lines(other) == ["env/.env.ci → env file of ci → env.check"]
    assert (other.parity, other.up, other.tests) == (True, False, False)


@pytest.mark.parametrize(
    ("path", "what"),
    [("docker/docker-compose.test.yml", "compose file"), ("pyproject.toml", "settings")],
)
def test_what_makes_the_stack_is_applied(path: str, what: str) -> None:
    assert lines(decide([path], VIEW)) == [f"{path} → {what} → env.check, up, test.run"]


def test_a_migration_is_applied_after_the_build_that_has_it() -> None:
    path = "migrations/versions/0008.py"
    found = decide([path], stale(app=(path,), test_runner=(path,)))

    assert lines(found) == [
        f"{path} → images app, test-runner stale → build, migrate, up, test.run"
    ]
    assert found.migrate


def test_a_migration_that_no_image_has_is_applied_all_the_same() -> None:
    path = "migrations/versions/0008.py"

    assert lines(decide([path], VIEW)) == [f"{path} → migration → migrate, test.run"]
    assert lines(decide(["migrations/versions/notes.md"], VIEW)) == [
        "migrations/versions/notes.md → nothing here reads it"
    ]


def test_what_git_ignores_is_not_even_told() -> None:
    view = replace(VIEW, ignored=frozenset({"build/x.o", "tests/report.xml"}))
    found = decide(["build/x.o", "tests/report.xml"], view)

    assert found.is_idle
    assert found.causes == ()


def test_what_git_ignores_and_an_image_has_is_built() -> None:
    view = replace(stale(app=("app/version.py",)), ignored=frozenset({"app/version.py"}))

    assert decide(["app/version.py"], view).builds == ("app",)


def test_what_nothing_reads_is_told_and_left() -> None:
    found = decide(["README.md"], VIEW)

    assert lines(found) == ["README.md → nothing here reads it"]
    assert found.is_idle


def test_many_paths_are_counted() -> None:
    names = tuple(f"{n}.md" for n in range(5))

    assert lines(decide(names, VIEW)) == ["0.md, 1.md, 2.md, 2 more → nothing here reads it"]


def test_the_first_round_brings_all_up() -> None:
    missing = replace(stale(app=()), words={"app": "missing"})

    assert lines(decide((), VIEW, is_first=True)) == ["start → every image is fresh → up, test.run"]
    assert lines(decide((), missing, is_first=True)) == [
        "start → image app missing → build, up, test.run"
    ]
    assert decide((), VIEW).is_idle


def test_without_a_runner_no_test_is_promised() -> None:
    found = decide(["a.py"], stale(replace(VIEW, runner=None), app=("a.py",)))

    assert lines(found) == ["a.py → image app stale → build, up"]
    assert not found.tests


def test_a_project_that_is_mounted_whole_is_mounted() -> None:
    found = decide(["x.py"], replace(VIEW, mounted={"app": (".",)}))

    assert lines(found) == ["x.py → mounted into app → test.run"]
