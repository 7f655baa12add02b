"""Round by round: what is done of what was decided, what is told, and what ends it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from unstale.adapters import watcher
from unstale.adapters.signals import Signals
from unstale.errors import (
    BuildFailed,
    ConfigError,
    Interrupted,
    NotDone,
    TestsFailed,
    UnknownName,
    UnstaleError,
    UsageError,
)
from unstale.mask import Mask
from unstale.pipeline.junit import Counts
from unstale.watch import rounds as module
from unstale.watch.decision import View
from unstale.watch.rounds import Round, Wish, rounds

NOTHING: frozenset[str] = frozenset()


@dataclass
class FakeProject:
    """A project that notes what it is asked for."""

    did: list[str] = field(default_factory=list)
    errors: dict[str, UnstaleError] = field(default_factory=dict)
    mask: Mask = field(default_factory=Mask)
    parity: bool = True
    policy: bool = True

    @property
    def settings(self) -> Any:
        return SimpleNamespace(
            suites={"smoke": ()},
            pairs=[("ci", "test")],
            parity=SimpleNamespace(has_policy=self.policy),
        )

    def _do(self, what: str) -> None:
        self.did.append(what)
        if error := self.errors.get(what.partition(" ")[0]):
            raise error

    def reread(self) -> FakeProject:
        self._do("reread")
        return self

    def image_build(self, _line: Any, *, env: str | None, services: tuple[str, ...]) -> None:
        self._do(f"build {' '.join(services)} in {env}")

    def test_run(
        self, line: Any, arguments: tuple[str, ...], *, env: str | None, suite: str | None
    ) -> Counts:
        line("a line of the tests, postgresql://a:heron72x@db/x")
        self._do(f"tests {suite} {arguments} in {env}")
        return Counts(3, 0, 1)

    def db_migrate(self, _line: Any, env: str | None) -> None:
        self._do(f"migrate in {env}")

    def stack_up(self, _line: Any, env: str | None) -> None:
        self._do(f"up in {env}")

    def env_check(self) -> Any:
        self._do("check")
        return SimpleNamespace(parity=self.parity)


@dataclass
class Watch:
    """A watch over files that change as the test says."""

    project: FakeProject
    views: list[View]
    monkeypatch: pytest.MonkeyPatch
    told: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    def over(self, *changes: frozenset[str], wish: Wish | None = None) -> list[Round]:
        def look(_project: Any, _env: Any, _changes: Any) -> View:
            return self.views.pop(0) if len(self.views) > 1 else self.views[0]

        self.monkeypatch.setattr(module, "look", look)
        return [
            *rounds(
                cast("Any", self.project),
                iter((NOTHING, *changes)),
                wish or Wish("test"),
                self.told.append,
                self.printed.append,
                lambda: 0.0,
            )
        ]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(FakeProject(), [VIEW], monkeypatch)


VIEW = View("test", mounted={"runner": ("tests",)}, runner="runner", env_files={"ci": (".env.ci",)})
STALE = View("test", stale={"app": ("a.py",)}, words={"app": "stale"}, runner="runner")


def test_a_change_is_built_and_tested_and_nothing_else(watch: Watch) -> None:
    watch.views = [VIEW, STALE, VIEW]

    first, second = watch.over(frozenset({"a.py"}), wish=Wish("test", "smoke", ("-k", "x y")))

    tests = "tests smoke ('-k', 'x y') in test"
    assert watch.project.did == [tests, "reread", "build app in test", tests]
    assert watch.told == [
        "start → every image is fresh → up, test.run smoke",
        "✓ 3 passed, 0 failed, 1 skipped (0.0 s)",
        "a.py → image app stale → build, up, test.run smoke",
        "✓ 3 passed, 0 failed, 1 skipped (0.0 s)",
    ]
    assert (first.code, second.code, second.changes) == (0, 0, ("a.py",))


def test_where_nothing_changes_nothing_is_looked_at(watch: Watch) -> None:
    assert len(watch.over(NOTHING, NOTHING)) == 1
    assert "reread" not in watch.project.did


def test_an_env_file_of_another_environment_is_only_compared(watch: Watch) -> None:
    watch.over(frozenset({".env.ci"}))

    assert watch.project.did[1:] == ["reread", "check"]


def test_a_difference_is_told_after_the_tests(watch: Watch) -> None:
    watch.project.parity = False

    found = watch.over(frozenset({"pyproject.toml"}))[-1]

    assert found.code == 3
    assert found.counts == Counts(3, 0, 1)
    assert "inv env.check" in watch.told[-1]


def test_without_a_policy_nothing_is_compared(watch: Watch) -> None:
    watch.project.policy = False

    watch.over(frozenset({".env.ci"}))

    assert "check" not in watch.project.did


def test_without_a_runner_the_stack_is_brought_up(watch: Watch) -> None:
    watch.views = [
        View("test", stale={"app": ("m/1.py",)}, words={"app": "stale"}, migrations=("m",)),
    ]

    watch.over(frozenset({"m/1.py"}))

    assert watch.project.did[-3:] == ["build app in test", "migrate in test", "up in test"]


@pytest.mark.parametrize(
    ("step", "error", "code"),
    [("tests", TestsFailed("2 failed"), 1), ("build", BuildFailed("no"), 5)],
)
def test_what_fails_is_told_and_watched_on(
    watch: Watch, step: str, error: UnstaleError, code: int
) -> None:
    watch.views = [VIEW, STALE, VIEW]
    watch.project.errors[step] = error

    found = watch.over(frozenset({"a.py"}), frozenset({"tests/x.py"}))

    assert found[1].code == code
    assert watch.told[3].startswith("✗ ")
    assert len(found) == 3


def test_settings_that_are_broken_for_a_moment_end_nothing(watch: Watch) -> None:
    watch.project.errors["reread"] = ConfigError("pyproject.toml can't be parsed.")

    found = watch.over(frozenset({"pyproject.toml"}), frozenset({"pyproject.toml"}))

    assert [one.code for one in found] == [0, 2, 2]
    assert "✗ pyproject.toml can't be parsed." in watch.told


@pytest.mark.parametrize("error", [Interrupted(2), NotDone("would")])
def test_a_signal_and_a_dry_run_end_it(watch: Watch, error: UnstaleError) -> None:
    watch.project.errors["tests"] = error

    with pytest.raises(type(error)):
        watch.over(frozenset({"a.py"}))


def test_a_suite_that_is_not_there_is_refused_at_once(watch: Watch) -> None:
    with pytest.raises(UnknownName, match="smok"):
        watch.over(wish=Wish(suite="smok"))
    assert watch.project.did == []


def test_what_tests_print_loses_its_secrets(watch: Watch) -> None:
    watch.over()

    assert "a line of the tests" in watch.printed[0]
    assert "heron72x" not in watch.printed[0]


def test_what_tests_write_where_they_are_mounted_ends_asking_for_more(watch: Watch) -> None:
    report = frozenset({"tests/report.xml"})

    found = watch.over(report, report, report, report)

    assert len(found) == 3  # the first, and two for the report
    assert watch.told[-1] == "tests/report.xml → written by the tests → "


def test_code_that_is_edited_under_tests_is_never_passed_over(watch: Watch) -> None:
    edited = frozenset({"tests/test_x.py"})

    assert len(watch.over(*[edited] * 5)) == 6


# Which files change


def test_without_the_extra_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)

    with pytest.raises(UsageError) as caught:
        next(watcher.changes(tmp_path, Signals()))

    error = caught.value
    assert (error.what, bool(error.cause)) == ("watch needs the package watchfiles.", True)
    assert "unstale[watch]" in error.hint


def until(found: Iterator[frozenset[str]], wanted: str) -> frozenset[str]:
    seen: frozenset[str] = frozenset()
    for _ in range(40):
        seen |= next(found)
        if wanted in seen:
            return seen
    raise AssertionError(seen)


def test_a_change_is_seen_and_what_nobody_reads_is_not(tmp_path: Path) -> None:
    for name in (".unstale/x", ".git/x", "a/__pycache__/x.pyc", "a/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    found = watcher.changes(tmp_path, Signals())
    assert next(found) == NOTHING

    for name in (".unstale/x", ".git/x", "a/__pycache__/x.pyc", "a/b.py.swp", "a/b.py"):
        (tmp_path / name).write_text("x")

    assert until(found, "a/b.py") == {"a/b.py"}


def test_a_folder_that_can_not_be_watched_is_told(tmp_path: Path) -> None:
    from unstale.errors import Unavailable

    with pytest.raises(Unavailable, match="can't be watched"):
        next(watcher.changes(tmp_path / "no", Signals()))
