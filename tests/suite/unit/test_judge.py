"""Run the tests and judge the run: green needs an exit code *and* evidence."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import pytest
from checkout import image_fact

from unstale.adapters.files import DiskFiles
from unstale.compose import Stack, parse
from unstale.config import Environment, RunnerSettings, SchemaSettings, Settings
from unstale.errors import (
    CouldNotTell,
    Fault,
    Interrupted,
    NotDone,
    NotReady,
    TestsFailed,
    TimedOut,
    Unavailable,
    UnstaleError,
)
from unstale.facts import ArchiveMember, ContainerFact, Death
from unstale.mask import Mask
from unstale.pipeline.junit import Counts
from unstale.pipeline.site import Deployment, Ports, Site
from unstale.pipeline.tests import TestRun, arguments_for, judge, run_tests
from unstale.ports import Command, CommandResult, ComposeTarget, RunOptions
from unstale.stack.running import Fall, casualties, missed_checks

if TYPE_CHECKING:
    from conftest import FakeDocker, FakeProcess

GREEN = Counts(passed=2, failed=0, skipped=1, passes=("a", "b"))
RED = Counts(passed=1, failed=1, skipped=0, failures=("tests.test_a::test_bad",))
AGAIN = (
    "ended with exit code 137 and was started again by the engine, out of memory"
    " (no limit of its own)."
)
JUNIT = b'<testsuite><testcase name="good"/></testsuite>'
RED_JUNIT = b'<testsuite><testcase name="bad"><failure/></testcase></testsuite>'
OLDER = b'<testsuite><testcase name="earlier"/></testsuite>'


def _run(exit_code: int = 0, counts: Counts | None = GREEN) -> TestRun:
    return TestRun(exit_code, counts, runner=None, fallen=())


def test_green_by_code_and_by_evidence_is_accepted(ports: Ports) -> None:
    assert judge(ports, _run()) == GREEN


@pytest.mark.parametrize(
    ("exit_code", "counts", "error", "says"),
    [
        (0, None, CouldNotTell, "green without evidence"),
        (0, Counts(0, 0, 3), TestsFailed, "No test ran: 3 were skipped"),
        (0, Counts(0, 0, 0), TestsFailed, "No test ran"),
        (0, RED, TestsFailed, "1 of 2 tests failed"),
        (1, RED, TestsFailed, "1 of 2 tests failed"),
        (1, GREEN, TestsFailed, "exit code 1"),
        (1, None, TestsFailed, "exit code 1"),
        (4, None, TestsFailed, "exit code 4"),
        (5, None, TestsFailed, "No test ran"),
        (5, Counts(0, 0, 0), TestsFailed, "No test ran"),
    ],
)
def test_each_way_not_to_be_green(
    ports: Ports, exit_code: int, counts: Counts | None, error: type[UnstaleError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        judge(ports, _run(exit_code, counts))

    assert caught.value.hint


# --- What is said of a red run ---

TWELVE = tuple(f"tests.test_a::test_{n}" for n in range(12))
SUMMARY = """\
FAILED tests/test_a.py::test_bad - assert 0
FAILED tests/test_a.py::test_bad[it's] - assert 0
FAILED tests/test_b.py::TestB::test_two[a - b] - assert 0
"""
NAMED = ("tests.test_a::test_bad", "tests.test_b.TestB::test_two[a - b]")


def _red(failures: tuple[str, ...], output: str = "", **more: Any) -> TestRun:
    counts = Counts(0, len(failures), 0, failures)
    return replace(_run(1, counts), output=output, **more)


def _refused(ports: Ports, run: TestRun) -> TestsFailed:
    with pytest.raises(TestsFailed) as caught:
        judge(ports, run)
    return caught.value


def test_what_failed_can_be_run_again_by_what_pytest_printed(ports: Ports) -> None:
    error = _refused(ports, _red(NAMED, SUMMARY))

    assert error.cause == ("  tests/test_a.py::test_bad\n  tests/test_b.py::TestB::test_two[a - b]")
    assert error.hint == (
        "inv test.run -- tests/test_a.py::test_bad 'tests/test_b.py::TestB::test_two[a - b]'"
    )


def test_a_quote_in_a_parameter_is_safe_in_a_shell(ports: Ports) -> None:
    error = _refused(ports, _red(("tests.test_a::test_bad[it's]",), SUMMARY))

    _, _, typed = error.hint.partition(" -- ")
    assert shlex.split(typed) == ["tests/test_a.py::test_bad[it's]"]


def test_of_many_failed_tests_the_rest_is_counted_and_their_files_are_run(ports: Ports) -> None:
    summary = "".join(f"FAILED tests/test_a.py::test_{n} - assert 0\n" for n in range(12))

    error = _refused(ports, _red(TWELVE, summary))

    assert error.cause.splitlines()[-2:] == ["  tests/test_a.py::test_9", "  and 2 more"]
    assert error.hint == "inv test.run -- tests/test_a.py"


@pytest.mark.parametrize(
    ("failures", "hint"),
    [
        (NAMED, "inv test.run -- -k 'test_bad or test_two'"),
        (("tests.test_b",), "inv test.run"),
        (("a suite::of another kind",), "inv test.run"),
    ],
    ids=["tests", "a file", "not pytest's"],
)
def test_without_a_summary_what_failed_is_chosen_by_name(
    ports: Ports, failures: tuple[str, ...], hint: str
) -> None:
    assert _refused(ports, _red(failures)).hint == hint


def test_where_pytests_cache_is_kept_it_knows_what_failed(ports: Ports) -> None:
    error = _refused(ports, _red(NAMED, SUMMARY, keeps_cache=True, again="inv test.run --env ci"))

    assert error.hint == "inv test.run --env ci -- --last-failed"


@pytest.mark.parametrize(
    ("output", "what", "cause"),
    [
        ("=== 12 deselected in 0.05s ===", "all 12 that were collected were deselected", "By -k"),
        ("12 deselected, 1 warning in 75.03s (0:01:15)", "all 12", "By -k"),
        ("=== no tests ran in 0.01s ===", "No test ran.", "No test was collected."),
        (
            "2 workers [0 items]\n=== no tests ran in 0.01s ===",
            "No test ran.",
            "No test was collected, or all were deselected.",
        ),
    ],
    ids=["deselected", "with more words", "none", "xdist does not tell"],
)
def test_deselected_is_told_from_not_collected(
    ports: Ports, output: str, what: str, cause: str
) -> None:
    error = _refused(ports, replace(_run(5, Counts(0, 0, 0)), output=output))

    assert what in error.what
    assert error.cause.startswith(cause)
    assert "-rs" not in error.hint


VERDICT = """\
==== no tests ran in 0.33s ====
! _pytest.outcomes.Exit: No test was run. The schema is not that of the migrations: behind.
Evidence: 0008 is not applied.
Next: inv db.migrate !
"""


@pytest.mark.parametrize("counts", [None, Counts(0, 0, 0), GREEN])
def test_why_the_session_was_stopped_is_the_reason(ports: Ports, counts: Counts | None) -> None:
    error = _refused(ports, replace(_run(3, counts), output=VERDICT))

    assert error.what == "No test was run. The schema is not that of the migrations: behind."
    assert error.cause == "Evidence: 0008 is not applied."
    assert error.hint == "inv db.migrate"


def test_tests_that_failed_before_the_stop_are_named_too(ports: Ports) -> None:
    error = _refused(ports, replace(_run(3, RED), output=VERDICT))

    assert error.what == "1 of 2 tests failed."
    assert error.cause.splitlines() == [
        "  tests.test_a::test_bad",
        "No test was run. The schema is not that of the migrations: behind.",
        "Evidence: 0008 is not applied.",
    ]
    assert error.hint == "inv db.migrate"


def test_a_stop_without_a_next_step_gets_one(ports: Ports) -> None:
    output = "!!!!! _pytest.outcomes.Exit: The moon is full !!!!!\n"

    error = _refused(ports, replace(_run(2, GREEN), output=output))

    assert (error.what, error.hint) == ("The moon is full", "mend that, then inv test.run")


def test_what_pytest_says_of_its_arguments_is_the_cause(ports: Ports) -> None:
    output = "ERROR: file or directory not found: nowhere\n"

    assert _refused(ports, replace(_run(4, None), output=output)).cause in output


@pytest.mark.parametrize(
    "run", [_red(NAMED), _run(5, None), _run(2, GREEN), _run(0, Counts(0, 0, 3))]
)
def test_no_next_step_is_the_run_that_was_just_red(ports: Ports, run: TestRun) -> None:
    assert "test.integration" not in _refused(ports, run).hint


# --- Ends that are not the tests' own ---


@pytest.mark.parametrize("exit_code", [-9, -15, 125, 126, 127, 134, 137, 139, 143])
@pytest.mark.parametrize("counts", [None, GREEN, RED])
def test_a_runner_that_was_ended_is_an_outage_and_not_a_failed_test(
    ports: Ports, exit_code: int, counts: Counts | None
) -> None:
    with pytest.raises(Unavailable, match="did not end by itself"):
        judge(ports, _run(exit_code, counts))


def test_a_runner_out_of_memory_is_an_outage_even_if_it_ended_with_0(
    ports: Ports, container: ContainerFact
) -> None:
    run = replace(_run(), runner=replace(container, oom_killed=True))

    with pytest.raises(Unavailable, match="out of memory"):
        judge(ports, run)


@pytest.mark.parametrize("exit_code", [0, 1, 137])
def test_a_fallen_database_voids_every_result(
    ports: Ports, docker: FakeDocker, container: ContainerFact, exit_code: int
) -> None:
    database = replace(container, id="c-db", service="postgres", status="exited", exit_code=3)
    docker.printed["c-db"] = ("PANIC: could not write",)

    with pytest.raises(NotReady, match="'postgres' did not survive the tests") as caught:
        judge(ports, replace(_run(exit_code), fallen=_fell(database)))

    assert "exit code 3" in caught.value.what
    assert "PANIC: could not write" in caught.value.cause
    assert "logs/service-postgres.log" in caught.value.hint
    assert "--keep-on-failure" not in caught.value.hint


def test_a_service_out_of_memory_is_told_so(ports: Ports, container: ContainerFact) -> None:
    fallen = replace(
        container, status="exited", exit_code=137, oom_killed=True, memory_bytes=64 << 20
    )

    with pytest.raises(NotReady, match=r"out of memory \(limit 64 MiB\)") as caught:
        judge(ports, replace(_run(), fallen=_fell(fallen)))

    assert caught.value.fault is Fault.OUT_OF_MEMORY


def test_who_fell_later_and_what_failed_meanwhile_is_the_cause(
    ports: Ports, container: ContainerFact
) -> None:
    database = replace(container, service="postgres")

    with pytest.raises(NotReady, match="'postgres' did not survive") as caught:
        judge(
            ports,
            replace(
                _run(1, RED),
                fallen=(
                    Fall(database, "is unhealthy."),
                    Fall(container, "ended with exit code 1."),
                ),
            ),
        )

    assert caught.value.cause.splitlines() == [
        "After it, 'app' ended with exit code 1.",
        "1 tests failed meanwhile.",
    ]


def test_a_service_that_ended_with_0_is_told_how_it_may(
    ports: Ports, container: ContainerFact
) -> None:
    ended = replace(container, status="exited")

    with pytest.raises(NotReady) as caught:
        judge(ports, replace(_run(), fallen=_fell(ended)))

    assert 'restart: "no"' in caught.value.hint


def test_half_a_junit_file_is_no_evidence_and_a_failed_run_stays_red(ports: Ports) -> None:
    half = replace(_run(0, None), damage="It is cut off or no XML: line 3.")

    with pytest.raises(CouldNotTell, match="can't be read") as caught:
        judge(ports, half)
    with pytest.raises(TestsFailed):
        judge(ports, replace(half, exit_code=1))

    assert caught.value.fault is Fault.NO_EVIDENCE


# --- Which services fell ---


def _fell(*after: ContainerFact) -> tuple[Fall, ...]:
    before = [replace(c, status="running", health=None, oom_killed=False) for c in after]
    return casualties(before, after, "test-runner")


def _hows(fallen: tuple[Fall, ...]) -> list[tuple[str, str]]:
    return [(fall.service, fall.how) for fall in fallen]


@pytest.mark.parametrize(
    ("change", "how"),
    [
        ({"status": "exited", "exit_code": 3}, "ended with exit code 3."),
        ({"status": "restarting"}, "ended and was started again by the engine."),
        ({"restart_count": 1}, "ended and was started again by the engine."),
        (
            {"started_at": "2026-01-01T00:01:00Z"},
            "ended and was started again by the engine.",
        ),
        ({"health": "unhealthy"}, "is unhealthy."),
        ({"status": "paused"}, "is paused."),
        ({"oom_killed": True}, "lost a process, out of memory (no limit of its own)."),
        (
            {"health": "unhealthy", "oom_killed": True, "memory_bytes": 64 << 20},
            "is unhealthy, out of memory (limit 64 MiB).",
        ),
    ],
)
def test_a_service_that_is_not_what_it_was_has_fallen(
    container: ContainerFact, change: dict[str, Any], how: str
) -> None:
    after = replace(container, **change)

    assert _hows(casualties([container], [after], "test-runner")) == [("app", how)]


def test_a_service_whose_container_is_gone_has_fallen(container: ContainerFact) -> None:
    (fall,) = casualties([container], [], "test-runner")

    assert fall.how == "is gone: its container was removed."


def test_a_service_that_did_not_run_before_can_not_fall(container: ContainerFact) -> None:
    one_shot = replace(container, status="exited")

    assert casualties([one_shot], [one_shot], "test-runner") == ()


def test_a_service_that_ended_between_its_start_and_the_tests_has_fallen(
    container: ContainerFact,
) -> None:
    ended = replace(container, status="exited")

    found = casualties([ended], [ended], "test-runner", expected=["app"])

    assert _hows(found) == [("app", "ended with exit code 0.")]
    assert casualties([ended], [ended], "test-runner", expected=["app"], may_end=["app"]) == ()


@pytest.mark.parametrize(("code", "falls"), [(0, False), (1, True)])
def test_a_one_shot_may_end_under_the_tests_but_not_fail(
    container: ContainerFact, code: int, falls: bool
) -> None:
    after = replace(container, status="exited", exit_code=code)

    found = casualties([container], [after], "test-runner", may_end=["app"])

    assert bool(found) is falls


def test_what_started_after_the_tests_began_can_not_fall(container: ContainerFact) -> None:
    later = replace(container, id="c-later", service="later", status="exited", exit_code=1)

    assert casualties([container], [container, later], "test-runner") == ()


def test_the_runner_itself_may_end(container: ContainerFact) -> None:
    assert casualties([container], [], runner="app") == ()


def test_somebodys_one_off_may_end(container: ContainerFact) -> None:
    assert casualties([replace(container, one_off=True)], [], "test-runner") == ()


@pytest.fixture
def two(container: ContainerFact) -> list[ContainerFact]:
    return [container, replace(container, id="c-db", service="postgres")]


def test_the_first_to_die_comes_first(two: list[ContainerFact]) -> None:
    after = [
        replace(c, status="exited", finished_at=f"2026-01-01T00:00:0{second}Z")
        for c, second in zip(two, ("5.5", "5.25"), strict=True)
    ]

    assert [f.service for f in casualties(two, after, "test-runner")] == ["postgres", "app"]


def test_a_restarted_database_fell_before_what_died_of_it(two: list[ContainerFact]) -> None:
    app, database = two
    after = [
        replace(app, status="exited", exit_code=1, finished_at="2026-01-01T00:00:06Z"),
        replace(database, restart_count=1, finished_at="2026-01-01T00:00:05Z"),
    ]

    assert [f.service for f in casualties(two, after, "test-runner")] == ["postgres", "app"]


def test_what_the_engine_remembers_of_ends_is_told(two: list[ContainerFact]) -> None:
    app, database = two
    # It died twice; of its state only the second end is left.
    after = [
        replace(app, status="exited", exit_code=1, finished_at="2026-01-01T00:00:06Z"),
        replace(database, restart_count=2, finished_at="2026-01-01T00:00:09Z"),
    ]
    deaths = [
        Death("c-db", 137, oom_killed=True, at_ns=5),
        Death("c-app", 1, oom_killed=False, at_ns=6),
        Death("c-db", 0, oom_killed=False, at_ns=9),
    ]

    found = casualties(two, after, "test-runner", deaths=deaths)

    assert _hows(found) == [
        (
            "postgres",
            AGAIN,
        ),
        ("app", "ended with exit code 1."),
    ]


def test_a_health_check_that_failed_and_is_good_again_is_noted(container: ContainerFact) -> None:
    before = replace(container, health="healthy", failed_checks=("12:00:00",))
    after = replace(before, failed_checks=("12:00:00", "12:00:05", "12:00:06"))

    assert casualties([before], [after], "test-runner") == ()
    assert missed_checks([before], [after]) == [
        "app: 2 health checks or more failed meanwhile, and it is healthy again"
    ]
    assert missed_checks([before], [before]) == []


# --- Which tests run ---


@pytest.mark.parametrize(
    ("suite", "given", "expected"),
    [
        (("tests/smoke",), (), ("tests/smoke",)),
        (("tests/smoke",), ("-x",), ("tests/smoke", "-x")),
        (("tests/smoke",), ("tests/smoke/test_a.py",), ("tests/smoke/test_a.py",)),
        (("tests/smoke/a.py",), ("tests/smoke/a.py::test",), ("tests/smoke/a.py::test",)),
        (("tests/smoke",), ("tests/smoke2",), ("tests/smoke", "tests/smoke2")),
        (("one", "two"), ("two/test_a.py",), ("two/test_a.py",)),
        ((), ("-k", "x"), ("-k", "x")),
    ],
)
def test_a_path_of_the_suite_replaces_all_of_its_paths(
    suite: tuple[str, ...], given: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert arguments_for(suite, given) == expected


@pytest.mark.parametrize(
    ("suite", "expected"),
    [
        (("tests/api", "--override-ini=a=b"), ("--override-ini=a=b",)),
        (("-m", "slow", "tests/api"), ("-m", "slow")),
        (("tests/api", "-o", "log_file=tests/log"), ("-o", "log_file=tests/log")),
        (("--maxfail", "3", "-x", "tests/api"), ("--maxfail", "3", "-x")),
        (("--cov", "tests/api"), ("--cov",)),
    ],
)
def test_a_path_of_the_suite_leaves_the_options_of_the_suite(
    suite: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    given = "tests/api/test_a.py::test_it"

    assert arguments_for(suite, [given]) == (*expected, given)


# --- Taking the evidence ---

Sites = Callable[..., Site]


@pytest.fixture
def site(tmp_path: Path) -> Sites:
    def build(runner: RunnerSettings | None = None, service: str = "test-runner") -> Site:
        environment = Environment("test", (), ())
        settings = Settings(
            root=tmp_path,
            default_env="test",
            environments={"test": environment},
            runner=runner or RunnerSettings(junit="/r/junit.xml"),
            suites={},
            schema=SchemaSettings(),
            verify=(),
        )
        return Site(
            settings=settings,
            environment=environment,
            stack=Stack("demo", (), (), ()),
            target=ComposeTarget("demo", ()),
            runner=service,
            database=None,
            values=(("APP_MODE", "test"),),
            mask=Mask(),
            owner="me",
            machine_folder=tmp_path / "machine",
        )

    return build


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(
        "r1", ComposeTarget("demo", ()), (), tmp_path / "evidence", DiskFiles().write_atomic
    )


def _start(ports: Ports, site: Site, deployment: Deployment) -> TestRun:
    return run_tests(
        ports, site, deployment, ("-q",), number="1", deadline_s=60, line=lambda _line: None
    )


def _file(path: str, content: bytes) -> ArchiveMember:
    return ArchiveMember(PurePosixPath(path), 0o644, None, content)


def test_a_run_leaves_its_own_junit_file_and_coverage(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    def run(service: str, options: RunOptions) -> CommandResult:
        assert service == "test-runner"
        assert options.argv == ("pytest", "--junit-xml=/r/junit-1.xml", "-q")
        assert ("UNSTALE_RUN", "r1") in options.environment
        runner = replace(
            container, id="c-run", name=options.name, service=service, status="exited", one_off=True
        )
        docker.add(runner)
        docker.archives["c-run"] = [
            _file("/r/junit-1.xml", JUNIT),
            _file("/r/.coverage", b"data"),
            _file("/etc/passwd", b"not asked for"),
        ]
        return CommandResult(0, "", "", 1.0)

    docker.on_run = run
    docker.add(container)

    found = _start(ports, site(), deployment)

    assert judge(ports, found).passes == ("good",)
    assert (deployment.folder / "junit.xml").read_bytes() == JUNIT
    assert (deployment.folder / "coverage" / ".coverage").read_bytes() == b"data"
    assert found.fallen == ()


@pytest.mark.parametrize("mode", ["run", "exec"])
def test_a_report_beside_a_whole_project_is_taken_without_coverage(
    ports: Ports,
    docker: FakeDocker,
    container: ContainerFact,
    site: Sites,
    deployment: Deployment,
    mode: Literal["run", "exec"],
) -> None:
    def run(name: str) -> CommandResult:
        runner = replace(container, id="c-run", name=name, status="running", service="test-runner")
        docker.live = [runner]
        many = [_file(f"/app/.venv/{n}.py", b"") for n in range(10_001)]
        docker.archives["c-run"] = [*many, _file("/app/.coverage", b"x"), *docker.archives["c-run"]]
        docker.archives["c-run"].append(_file("/app/junit.xml", JUNIT))
        return CommandResult(0, "", "", 1.0)

    docker.archives["c-run"] = [_file(f"/app/{n}.py", b"") for n in range(10_001)]
    docker.on_run = lambda _service, options: run(options.name)
    docker.on_execute = lambda _container, _options: run("runner")
    if mode == "exec":
        docker.add(replace(container, id="c-run", name="runner", service="test-runner"))
    lines: list[str] = []
    wanted = site(RunnerSettings(command=("tox",), mode=mode, junit="/app/junit.xml"))

    found = run_tests(ports, wanted, deployment, (), number="1", deadline_s=60, line=lines.append)

    assert judge(ports, found).passes == ("good",)
    assert (deployment.folder / "junit.xml").read_bytes() == JUNIT
    assert not (deployment.folder / "coverage").exists()
    assert found.left_out == "coverage is left out: There is too much under /app to read."
    assert found.left_out in lines


def test_a_runner_that_could_not_be_started_is_an_outage_whatever_report_it_sees(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    words = "unable to find user nobody-such: no matching entries in passwd file"

    def run(service: str, options: RunOptions) -> CommandResult:
        docker.add(
            replace(
                container,
                id="c-run",
                name=options.name,
                service=service,
                status="created",
                exit_code=128,
                error=words,
                started_at="0001-01-01T00:00:00Z",
                one_off=True,
            )
        )
        docker.archives["c-run"] = [_file("/r/junit-1.xml", OLDER)]
        return CommandResult(1, "", "", 1.0)

    docker.on_run = run

    with pytest.raises(Unavailable, match="The test runner could not be started") as caught:
        _start(ports, site(), deployment)

    assert words in caught.value.cause
    assert caught.value.fault is Fault.SERVICE_DIED
    assert not (deployment.folder / "junit.xml").exists()


def test_a_service_that_fell_is_why_the_runner_could_not_be_started(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    docker.add(replace(container, service="postgres"))

    def run(service: str, options: RunOptions) -> CommandResult:
        docker.change("postgres", status="exited", exit_code=137)
        docker.add(
            replace(container, id="c-run", name=options.name, service=service, status="created")
        )
        docker.archives["c-run"] = [_file("/r/junit-1.xml", RED_JUNIT)]
        return CommandResult(1, "", "", 1.0)

    docker.on_run = run

    with pytest.raises(NotReady, match="'postgres' did not survive") as caught:
        judge(ports, _start(ports, site(), deployment))

    assert "failed meanwhile" not in caught.value.cause


def test_the_containers_exit_code_wins_over_composes(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    def run(service: str, options: RunOptions) -> CommandResult:
        docker.add(
            replace(container, name=options.name, service=service, status="exited", exit_code=1)
        )
        return CommandResult(0, "", "", 1.0)

    docker.on_run = run

    assert _start(ports, site(), deployment).exit_code == 1


def test_a_database_that_dies_under_the_tests_is_seen(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    docker.add(replace(container, service="postgres"))

    def run(_service: str, _options: RunOptions) -> CommandResult:
        docker.change("postgres", status="exited", exit_code=137)
        return CommandResult(0, "", "", 1.0)

    docker.on_run = run

    with pytest.raises(NotReady, match="'postgres' did not survive"):
        judge(ports, _start(ports, site(), deployment))


def test_an_earlier_runs_file_is_no_evidence_of_this_one(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    docker.add(replace(container, service="test-runner"))
    docker.archives[container.id] = [_file("/r/junit.xml", OLDER)]
    own_command = RunnerSettings(command=("tox",), mode="exec", junit="/r/junit.xml")

    found = _start(ports, site(own_command), deployment)

    assert found.counts is None
    with pytest.raises(CouldNotTell):
        judge(ports, found)


@pytest.mark.parametrize(("modified", "is_evidence"), [(1767225599, False), (1767225600, True)])
def test_a_file_that_the_image_brought_is_no_evidence(
    ports: Ports,
    docker: FakeDocker,
    container: ContainerFact,
    site: Sites,
    deployment: Deployment,
    modified: int,
    is_evidence: bool,
) -> None:
    def run(service: str, options: RunOptions) -> CommandResult:
        runner = replace(
            container, id="c-run", name=options.name, service=service, status="exited", one_off=True
        )
        docker.add(runner)
        docker.archives["c-run"] = [
            replace(_file("/r/junit-1.xml", JUNIT), modified=modified),
        ]
        return CommandResult(0, "", "", 1.0)

    docker.on_run = run

    found = _start(ports, site(), deployment)

    assert (found.counts is not None) is is_evidence


def test_exec_mode_reads_what_the_running_runner_wrote(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    docker.add(replace(container, service="test-runner"))
    docker.archives[container.id] = [_file("/r/junit.xml", OLDER)]

    def execute(_container: str, _options: RunOptions) -> CommandResult:
        docker.archives[container.id] = [_file("/r/junit.xml", JUNIT)]
        return CommandResult(0, "", "", 1.0)

    docker.on_execute = execute
    own_command = RunnerSettings(command=("tox",), mode="exec", junit="/r/junit.xml")

    assert judge(ports, _start(ports, site(own_command), deployment)).passes == ("good",)


def test_exec_mode_needs_a_running_runner(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    docker.add(replace(container, service="test-runner", status="exited"))

    with pytest.raises(Unavailable, match="'test-runner' is not running"):
        _start(ports, site(RunnerSettings(mode="exec")), deployment)


@pytest.mark.parametrize("command", [("pytest",), ("tox",)])
def test_an_earlier_runs_file_on_the_host_is_no_evidence_and_the_users_stays(
    ports: Ports, site: Sites, deployment: Deployment, tmp_path: Path, command: tuple[str, ...]
) -> None:
    host = site(RunnerSettings(command=command, junit="junit.xml"), service="host")
    ours, theirs = deployment.folder / "junit.xml", tmp_path / "junit.xml"
    for path in (ours, theirs):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(OLDER)

    found = _start(ports, host, deployment)

    assert found.counts is None
    assert theirs.exists()
    assert ours.exists() is (command == ("tox",))


def test_a_dry_run_on_the_host_removes_no_earlier_runs_file(
    ports: Ports, process: FakeProcess, site: Sites, deployment: Deployment, tmp_path: Path
) -> None:
    host = site(RunnerSettings(command=("tox",), junit="junit.xml"), service="host")
    (tmp_path / "junit.xml").write_bytes(OLDER)

    def refuse(_command: Command) -> CommandResult:
        raise NotDone("Nothing was done.")

    process.on_run = refuse

    with pytest.raises(NotDone):
        _start(ports, host, deployment)

    assert (tmp_path / "junit.xml").exists()


def test_a_runner_on_the_host_gets_the_variables_and_the_published_ports(
    ports: Ports,
    docker: FakeDocker,
    process: FakeProcess,
    container: ContainerFact,
    site: Sites,
    deployment: Deployment,
) -> None:
    docker.add(replace(container, ports=((8000, "127.0.0.1:32768"),)))
    deployment.folder.mkdir()
    (deployment.folder / "junit.xml").write_bytes(OLDER)

    def run(command: Command) -> CommandResult:
        report = deployment.folder / "junit.xml"
        assert command.argv == ("pytest", f"--junit-xml={report}", "-q")
        assert command.env == {
            "APP_MODE": "test",
            "UNSTALE_APP_8000": "127.0.0.1:32768",
            "BASE_URL": "http://127.0.0.1:32768/v1",
            "PORT": "32768",
        }
        report.write_bytes(JUNIT)
        return CommandResult(0, "", "", 1.0)

    process.on_run = run
    told = (("BASE_URL", "http://{app:8000}/v1"), ("PORT", "{app:8000:port}"))
    hosted = site(RunnerSettings(environment=told), service="host")

    assert judge(ports, _start(ports, hosted, deployment)).passes == ("good",)


def test_a_dry_run_on_the_host_asks_for_no_address(
    ports: Ports, process: FakeProcess, site: Sites, deployment: Deployment
) -> None:
    process.on_run = lambda _command: CommandResult(0, "", "", 1.0)
    told = RunnerSettings(environment=(("BASE_URL", "http://{app:8000}"),))
    hosted = site(told, service="host")

    _start(replace(ports, is_dry=True), hosted, deployment)
    with pytest.raises(Unavailable, match="published nowhere"):
        _start(ports, hosted, deployment)


def test_what_the_runner_prints_is_taken_masked_with_how_to_run_it_again(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    def run(service: str, options: RunOptions) -> CommandResult:
        docker.add(replace(container, name=options.name, service=service, status="exited"))
        return CommandResult(1, "FAILED a.py::test_it - invented-7", "ERROR: invented-7", 1.0)

    docker.on_run = run
    hidden = replace(site(), mask=Mask(("invented-7",)), environment=Environment("ci", (), ()))

    found = _start(ports, hidden, deployment)

    assert "FAILED a.py::test_it - " in found.output
    assert "ERROR: " in found.output
    assert "invented-7" not in found.output
    assert found.again == "inv test.run --env ci"
    assert not found.keeps_cache


@pytest.mark.parametrize(
    ("image", "written", "command", "first"),
    [
        (["python", "-m", "pytest"], None, ("pytest",), "--junit-xml=/r/junit-1.xml"),
        (["pytest"], None, ("pytest", "tests"), "tests"),
        (["pytest"], None, ("/venv/bin/pytest",), "--junit-xml=/r/junit-1.xml"),
        (["/entry.sh"], None, ("pytest",), "pytest"),
        (None, None, ("pytest",), "pytest"),
        # The compose file's goes before that of the image.
        (["pytest"], [], ("pytest",), "pytest"),
        (None, ["pytest", "-v"], ("pytest",), "--junit-xml=/r/junit-1.xml"),
        # What is before it is told to the entry point as an argument, whatever that is.
        (["pytest"], None, ("sh", "-c", "pytest"), "sh"),
    ],
)
def test_an_entry_point_that_is_pytest_is_not_told_its_own_name(
    ports: Ports,
    docker: FakeDocker,
    container: ContainerFact,
    site: Sites,
    deployment: Deployment,
    image: list[str] | None,
    written: list[str] | None,
    command: tuple[str, ...],
    first: str,
) -> None:
    config = json.dumps({"Entrypoint": image})
    docker.local_images.append(replace(image_fact("sha256:t", tags=("demo-t",)), config=config))
    service = {"image": "demo-t"} | ({} if written is None else {"entrypoint": written})
    stack = parse({"name": "demo", "services": {"test-runner": service}})
    told: list[str] = []

    def run(service: str, options: RunOptions) -> CommandResult:
        told.extend(options.argv)
        docker.add(replace(container, name=options.name, service=service, status="exited"))
        return CommandResult(0, "", "", 1.0)

    docker.on_run = run
    settings = RunnerSettings(command=command, junit="/r/junit.xml")

    _start(ports, replace(site(settings), stack=stack), deployment)

    assert told[0] == first
    assert "--junit-xml=/r/junit-1.xml" in told


def test_a_container_that_stays_up_prints_too(
    ports: Ports, docker: FakeDocker, container: ContainerFact, site: Sites, deployment: Deployment
) -> None:
    docker.add(replace(container, service="test-runner"))
    docker.on_execute = lambda _container, _options: CommandResult(5, "3 deselected", "", 1.0)

    found = _start(ports, site(RunnerSettings(mode="exec")), deployment)

    assert "3 deselected" in found.output
    assert found.again == "inv test.run"


def test_on_the_host_the_cache_of_pytest_is_kept(
    ports: Ports, process: FakeProcess, site: Sites, deployment: Deployment
) -> None:
    process.on_run = lambda _command: CommandResult(5, "3 deselected", "", 1.0)

    found = _start(ports, site(service="host"), deployment)

    assert "3 deselected" in found.output
    assert found.keeps_cache


def test_a_host_command_of_its_own_is_believed_by_its_own_file(
    ports: Ports, process: FakeProcess, tmp_path: Path, site: Sites, deployment: Deployment
) -> None:
    def run(command: Command) -> CommandResult:
        assert command.argv == ("tox", "-q")
        (tmp_path / "junit.xml").write_bytes(JUNIT)
        return CommandResult(0, "", "", 1.0)

    process.on_run = run
    own_command = RunnerSettings(command=("tox",), junit="junit.xml")

    found = _start(ports, site(own_command, service="host"), deployment)

    assert judge(ports, found).passes == ("good",)


@pytest.mark.parametrize(
    "runner",
    [RunnerSettings(), RunnerSettings(command=("tox",), junit="junit.xml")],
    ids=["pytest", "its own"],
)
def test_the_report_of_a_host_is_shown_masked(
    ports: Ports,
    process: FakeProcess,
    tmp_path: Path,
    site: Sites,
    deployment: Deployment,
    runner: RunnerSettings,
) -> None:
    report = (tmp_path if runner.junit else deployment.folder) / "junit.xml"
    deployment.folder.mkdir()

    def run(_command: Command) -> CommandResult:
        report.write_bytes(RED_JUNIT.replace(b"<failure/>", b"<failure>invented-7</failure>"))
        return CommandResult(1, "", "", 1.0)

    process.on_run = run
    hidden = replace(site(runner, service="host"), mask=Mask(("invented-7",)))

    found = _start(ports, hidden, deployment)

    assert found.counts is not None
    assert found.counts.failures == ("bad",)
    shown = (deployment.folder / "junit.xml").read_text()
    assert "<failure>" in shown
    assert "invented-7" not in shown
    assert not runner.junit or b"invented-7" in report.read_bytes()  # the user's stays as it is


@pytest.mark.parametrize("error", [Interrupted(15), TimedOut("pytest did not end.")])
def test_a_host_that_was_stopped_leaves_no_report_unmasked(
    ports: Ports,
    process: FakeProcess,
    site: Sites,
    deployment: Deployment,
    error: UnstaleError,
) -> None:
    deployment.folder.mkdir()

    def run(_command: Command) -> CommandResult:
        (deployment.folder / "junit.xml").write_text("invented-7")
        raise error

    process.on_run = run
    hidden = replace(site(service="host"), mask=Mask(("invented-7",)))

    with pytest.raises(type(error)):
        _start(ports, hidden, deployment)

    assert list(deployment.folder.iterdir()) == []
