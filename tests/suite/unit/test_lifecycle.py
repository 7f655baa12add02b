"""Wait for a stack, and remove it, by what the engine lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from unstale.errors import (
    EngineUnavailable,
    Fault,
    NotReady,
    Outcome,
    TearDownFailed,
    TimedOut,
    Unavailable,
    outcome_of,
)
from unstale.facts import ContainerFact
from unstale.stack.autopsy import evidence
from unstale.stack.lifecycle import (
    Sweep,
    remove,
    require_sound,
    sweep,
    wait_until_up,
)

if TYPE_CHECKING:
    from conftest import FakeClock, FakeDocker

RUN = {"dev.unstale.run": "r1", "dev.unstale.owner": "machine-1000"}
OTHER = {**RUN, "dev.unstale.run": "r2"}
FOREIGN = {**RUN, "dev.unstale.owner": "machine-100"}


def _wait(docker: FakeDocker, clock: FakeClock, *services: str) -> None:
    wait_until_up(docker, clock, "demo", services or ("app",), deadline_s=60)


# --- Waiting ---


@pytest.mark.parametrize("health", [None, "healthy"])
def test_a_running_service_is_up_if_healthy_or_without_a_check(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact, health: str | None
) -> None:
    docker.add(replace(container, health=health))

    _wait(docker, clock)

    assert clock.elapsed < 1


def test_a_starting_service_is_waited_for(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, health="starting"))
    clock.at(5, lambda: docker.change("app", health="healthy"))

    _wait(docker, clock)

    assert 5 <= clock.elapsed < 6


def test_a_container_that_comes_late_is_waited_for(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    clock.at(5, lambda: docker.live.append(container))

    _wait(docker, clock)

    assert 5 <= clock.elapsed < 6


def test_a_service_without_a_check_is_looked_at_twice(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(container)
    clock.at(0.1, lambda: docker.change("app", status="exited", exit_code=3))

    with pytest.raises(NotReady, match="'app' exited with 3"):
        _wait(docker, clock)


def _with_label(container: ContainerFact, depends_on: str) -> ContainerFact:
    labels = {**container.labels, "com.docker.compose.depends_on": depends_on}
    return replace(container, id="c-w", service="worker", labels=labels)


def test_a_one_shot_that_a_container_waits_for_is_done_when_it_ended_with_0(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, status="exited", exit_code=0))
    docker.add(
        _with_label(
            container, "postgres:service_healthy:false,app:service_completed_successfully:false"
        )
    )

    _wait(docker, clock)

    assert clock.elapsed < 1


def test_a_one_shot_of_the_compose_files_is_done_when_it_ended_with_0(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, status="exited", exit_code=0))

    wait_until_up(docker, clock, "demo", ["app"], deadline_s=60, one_shots={"app"})

    assert clock.elapsed < 1


def test_a_one_shot_that_still_runs_is_up_after_two_looks(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(container)

    wait_until_up(docker, clock, "demo", ["app"], deadline_s=60, one_shots={"app"})

    assert clock.elapsed < 1


@pytest.mark.parametrize("condition", ["service_started", "service_healthy"])
def test_a_service_that_ended_though_nobody_waits_for_its_end_is_named(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact, condition: str
) -> None:
    docker.add(replace(container, status="exited", exit_code=0))
    docker.add(_with_label(container, f"app:{condition}:false"))
    docker.printed[container.id] = ("nothing to do",)

    with pytest.raises(NotReady, match="'app' ended with 0, though nobody waits") as caught:
        _wait(docker, clock)

    assert clock.elapsed < 1
    assert "nothing to do" in caught.value.cause
    assert 'restart: "no"' in caught.value.hint


def test_a_one_shot_that_failed_fails_at_once_with_its_log(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, status="exited", exit_code=4))
    docker.printed[container.id] = ("no such bucket",)

    with pytest.raises(NotReady, match="'app' exited with 4") as caught:
        wait_until_up(docker, clock, "demo", ["app"], deadline_s=60, one_shots={"app"})

    assert clock.elapsed < 1
    assert "no such bucket" in caught.value.cause


def test_of_two_that_ended_the_first_is_named(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    ended = replace(container, status="exited", exit_code=1)
    docker.add(replace(ended, finished_at="2026-01-01T00:00:05Z"))
    docker.add(replace(ended, id="c-w", service="worker", finished_at="2026-01-01T00:00:04Z"))

    with pytest.raises(NotReady, match="'worker' exited"):
        _wait(docker, clock, "app", "worker")


def test_each_container_of_a_service_must_be_up(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, health="healthy"))
    docker.add(replace(container, id="c-2", health="starting"))
    clock.at(5, lambda: docker.change("app", health="healthy"))

    _wait(docker, clock)

    assert 5 <= clock.elapsed < 6


def _restart(docker: FakeDocker, count: int, status: str = "running") -> None:
    docker.live = [
        replace(c, status=status, restart_count=count, started_at=f"start {count}")
        for c in docker.live
    ]


def test_a_container_that_restarts_in_a_loop_is_named_before_the_deadline(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(container)
    for second in range(1, 20):
        clock.at(0.1 * second, lambda count=second: _restart(docker, count))

    with pytest.raises(NotReady, match="'app' restarts in a loop") as caught:
        _wait(docker, clock)

    assert clock.elapsed < 5
    assert "times while it was waited for" in caught.value.what


def test_restarts_before_the_wait_are_no_loop(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, restart_count=40))

    _wait(docker, clock)

    assert clock.elapsed < 1


def test_a_container_that_restarted_is_up_only_when_it_stays(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, status="restarting"))
    clock.at(3, lambda: _restart(docker, 1))

    _wait(docker, clock)

    assert 13 <= clock.elapsed < 14


@pytest.mark.parametrize("status", ["exited", "dead"])
def test_a_service_that_exited_with_3_fails_at_once_with_its_log(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact, status: str
) -> None:
    docker.add(replace(container, status=status, exit_code=3))
    docker.printed[container.id] = ("KeyError: 'JWT_SECRET'",)

    with pytest.raises(NotReady, match="'app' exited with 3") as caught:
        _wait(docker, clock)

    assert clock.elapsed < 1
    assert "KeyError: 'JWT_SECRET'" in caught.value.cause


def test_a_service_that_the_engine_could_not_start_fails_with_its_words(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, status="exited", error="exec: no such file"))

    with pytest.raises(NotReady) as caught:
        _wait(docker, clock)

    assert caught.value.cause == "exec: no such file"


@pytest.mark.parametrize("status", ["exited", "restarting"])
def test_a_service_out_of_memory_is_told_so_at_once(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact, status: str
) -> None:
    docker.add(replace(container, status=status, exit_code=137, oom_killed=True))

    with pytest.raises(NotReady, match="out of memory"):
        _wait(docker, clock)

    assert clock.elapsed < 1


def test_an_unhealthy_service_fails_at_once_with_its_checks_output(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, health="unhealthy", health_output="503 from /health"))

    with pytest.raises(NotReady, match="'app' is unhealthy") as caught:
        _wait(docker, clock)

    assert clock.elapsed < 1
    assert "503 from /health" in caught.value.cause


def test_one_failed_service_does_not_wait_for_a_slow_one(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, health="starting"))
    docker.add(replace(container, id="c-w", service="worker", status="exited", exit_code=1))

    with pytest.raises(NotReady, match="'worker' exited"):
        _wait(docker, clock, "app", "worker")

    assert clock.elapsed < 1


def test_the_deadline_ends_the_wait_and_names_who_is_late(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, health="starting", health_output="refused"))
    docker.add(replace(container, id="c-db", service="postgres"))

    with pytest.raises(NotReady, match=r"^app did not become ready within 60 s") as caught:
        _wait(docker, clock, "app", "postgres")

    assert 60 <= clock.elapsed < 62
    assert "app: running, its health check is 'starting'." in caught.value.cause
    assert "refused" in caught.value.cause
    assert "postgres" not in caught.value.cause


def test_the_deadline_tells_of_each_late_one_what_it_was_doing(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, status="created"))
    docker.add(replace(container, id="c-w", service="worker"))
    clock.at(
        0.1,
        lambda: setattr(
            docker,
            "live",
            [
                replace(c, status="restarting", restart_count=2, exit_code=9)
                if c.service == "worker"
                else c
                for c in docker.live
            ],
        ),
    )

    with pytest.raises(NotReady, match=r"^app, worker, mail did not become ready") as caught:
        _wait(docker, clock, "app", "worker", "mail")

    assert caught.value.cause.splitlines() == [
        "mail: there is no container of it.",
        "app: created.",
        "worker: restarting, restarted 2 times (last exit code 9).",
    ]


def test_a_service_without_a_container_is_late_too(docker: FakeDocker, clock: FakeClock) -> None:
    with pytest.raises(NotReady) as caught:
        _wait(docker, clock)

    assert caught.value.cause == "app: there is no container of it."


def test_other_projects_and_one_off_containers_are_not_the_service(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, labels={"com.docker.compose.project": "other"}))
    docker.add(replace(container, one_off=True))

    with pytest.raises(NotReady, match="did not become ready"):
        _wait(docker, clock)


def test_a_start_that_failed_is_told_by_the_service_that_broke(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, status="created"))
    docker.add(replace(container, id="c-m", service="migrate", status="exited", exit_code=3))
    docker.printed["c-m"] = ("no such revision",)

    with pytest.raises(NotReady, match="'migrate' exited with 3") as caught:
        require_sound(docker, clock, "demo", ["app", "migrate"])

    assert "no such revision" in caught.value.cause


def test_a_start_in_which_nothing_broke_is_left_alone(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(replace(container, status="created"))
    docker.add(replace(container, id="c-m", service="migrate", status="exited"))

    require_sound(docker, clock, "demo", ["app", "migrate"], one_shots=["migrate"])


def test_evidence_is_the_end_of_the_log(docker: FakeDocker, container: ContainerFact) -> None:
    docker.printed[container.id] = ("one", "two", "three")

    assert evidence(docker, container, tail=2) == "Its last log lines:\n  two\n  three"


def test_a_container_that_says_nothing_gives_no_evidence(
    docker: FakeDocker, container: ContainerFact
) -> None:
    assert evidence(docker, container) == ""


# --- Removing ---


def test_all_that_carries_the_label_goes_and_nothing_else(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(container)
    kept = docker.add(replace(container, id="c-2", labels=OTHER))
    docker.live_networks = {"demo_default": RUN, "company": {}, "theirs": FOREIGN}
    docker.live_volumes = {"demo_data": RUN, "seed-data": {}, "theirs": FOREIGN}

    assert remove(docker, clock, RUN) == 3

    assert docker.live == [kept]
    assert docker.live_networks == {"company": {}, "theirs": FOREIGN}
    assert docker.live_volumes == {"seed-data": {}, "theirs": FOREIGN}


@pytest.mark.parametrize("missing", ["dev.unstale.run", "dev.unstale.owner"])
def test_a_removal_by_one_label_is_refused(
    docker: FakeDocker, clock: FakeClock, missing: str
) -> None:
    docker.live_volumes = {"demo_data": RUN}

    with pytest.raises(AssertionError, match="BUG"):
        remove(docker, clock, {**RUN, missing: ""})

    assert docker.live_volumes == {"demo_data": RUN}


def test_nothing_to_remove_is_proven_by_two_listings(docker: FakeDocker, clock: FakeClock) -> None:
    assert remove(docker, clock, RUN) == 0

    assert docker.listings == 2


def test_a_container_that_lands_after_the_first_empty_listing_is_removed_too(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    # The pause between the two listings begins at 0.01 and ends at 0.11.
    clock.at(0.05, lambda: docker.live.append(container))

    assert remove(docker, clock, RUN) == 1

    assert docker.live == []
    assert docker.listings == 4, "one empty, one full, then two empty again"


def test_after_a_command_was_cut_short_listings_must_be_empty_for_longer(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    clock.at(0.9, lambda: docker.live.append(container))

    assert remove(docker, clock, RUN, settle_s=1.0) == 1

    assert docker.live == []
    assert clock.elapsed >= 1.9


@pytest.mark.parametrize("kind", ["container", "network", "volume"])
def test_what_can_not_be_removed_is_named_at_the_deadline(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact, kind: str
) -> None:
    match kind:
        case "container":
            docker.add(replace(container, id="stuck-one", name="stuck-one"))
        case "network":
            docker.live_networks["stuck-one"] = RUN
        case _:
            docker.live_volumes["stuck-one"] = RUN
    docker.stuck = {"stuck-one"}

    with pytest.raises(TearDownFailed, match="1 object is still there") as caught:
        remove(docker, clock, RUN, deadline_s=30)

    assert caught.value.cause == f"{kind} stuck-one"
    assert outcome_of(caught.value) is Outcome.TEAR_DOWN_FAILED
    assert 30 <= clock.elapsed < 31


def test_what_the_engine_refuses_is_said_in_its_words(
    docker: FakeDocker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.live_volumes |= {f"data-{n}": RUN for n in range(7)}

    def refuse(names: Sequence[str]) -> None:
        raise Unavailable("Docker refused.", cause=f"{names[0]}: volume is in use")

    monkeypatch.setattr(docker, "remove_volumes", refuse)

    with pytest.raises(TearDownFailed) as caught:
        remove(docker, clock, RUN, deadline_s=1)

    first, second = caught.value.cause.splitlines()
    assert first.endswith("volume data-4, and 2 more")
    assert second == "data-0: volume is in use"


def test_a_persons_one_off_in_a_project_of_ours_goes_too(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    bare = {"com.docker.compose.project": "demo"}
    docker.add(replace(container, id="c-person", labels=bare, one_off=True))
    docker.add(replace(container, id="c-else", labels={"com.docker.compose.project": "else"}))

    assert remove(docker, clock, RUN, project="demo") == 1

    assert [c.id for c in docker.live] == ["c-else"]


def test_what_can_be_removed_only_later_is_tried_again(
    docker: FakeDocker, clock: FakeClock
) -> None:
    docker.live_networks["demo_default"] = RUN
    docker.stuck = {"demo_default"}
    clock.at(3, docker.stuck.clear)

    assert remove(docker, clock, RUN) == 1

    assert docker.live_networks == {}


def test_what_looked_into_an_image_goes_with_a_project_that_it_is_no_part_of(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    docker.add(container)
    docker.add(replace(container, id="c-look", name="unstale-inspect-1", labels=RUN))

    assert remove(docker, clock, RUN, project="demo") == 2

    assert docker.live == []


GONE = EngineUnavailable("The Docker engine does not answer.", cause="hung")


@pytest.fixture
def failing(
    docker: FakeDocker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Unavailable, float], None]:
    """Lets a question fail until *seconds* have passed; each takes one."""

    def made(name: str, error: Unavailable, seconds: float) -> None:
        ask = getattr(docker, name)

        def answer(asked: object) -> object:
            if clock.elapsed < seconds:
                clock.sleep(1)
                raise error
            return ask(asked)

        monkeypatch.setattr(docker, name, answer)

    return made


Failing = Callable[[str, Unavailable, float], None]
QUESTIONS = ["containers", "networks", "volumes"]
ALL = [*QUESTIONS, "remove_containers", "remove_networks", "remove_volumes"]


@pytest.mark.parametrize("error", [GONE, Unavailable("`docker ps` failed."), TimedOut("late")])
@pytest.mark.parametrize("question", ALL)
def test_an_engine_that_answers_again_is_asked_again(
    docker: FakeDocker,
    clock: FakeClock,
    container: ContainerFact,
    failing: Failing,
    question: str,
    error: Unavailable,
) -> None:
    docker.add(container)
    docker.live_networks["demo_default"] = RUN
    docker.live_volumes["demo_data"] = RUN
    failing(question, error, 5)

    assert remove(docker, clock, RUN) == 3

    assert [*docker.live, *docker.live_networks, *docker.live_volumes] == []


@pytest.mark.parametrize("question", [*QUESTIONS, "remove_containers"])
def test_an_engine_that_stays_gone_is_given_up_before_the_deadline(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact, failing: Failing, question: str
) -> None:
    docker.add(container)
    failing(question, GONE, 1000)

    with pytest.raises(TearDownFailed, match=r"did not tell within 1\d s") as caught:
        remove(docker, clock, RUN, deadline_s=30)

    assert 10 <= clock.elapsed < 15
    assert (caught.value.fault, caught.value.outcome) == (Fault.ENGINE, Outcome.TEAR_DOWN_FAILED)
    assert caught.value.cause.startswith("The Docker engine does not answer.\nhung")
    assert caught.value.__cause__ is GONE


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_listing_that_fails_is_given_up_at_the_deadline(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact, failing: Failing, question: str
) -> None:
    docker.add(container)
    failing(question, Unavailable("`docker ps` failed.", cause="no"), 1000)

    with pytest.raises(TearDownFailed) as caught:
        remove(docker, clock, RUN, deadline_s=30)

    assert 30 <= clock.elapsed < 35
    assert caught.value.fault is Fault.TEAR_DOWN_FAILED


def test_a_listing_that_failed_is_no_empty_one(
    docker: FakeDocker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["empty", "fails", "empty", "empty"]
    monkeypatch.setattr(docker, "networks", lambda _: _next(answers))

    assert remove(docker, clock, RUN) == 0

    assert answers == []


def _next(answers: list[str]) -> dict[str, dict[str, str]]:
    if answers.pop(0) == "fails":
        raise GONE
    return {}


# --- Sweeping ---


def _sweep(docker: FakeDocker, clock: FakeClock, *died: str) -> Sweep:
    return sweep(docker, clock, "here", "me", died, lambda run: run == "alive")


def test_dead_runs_are_found_by_any_kind_of_object_that_they_left(
    docker: FakeDocker, clock: FakeClock, container: ContainerFact
) -> None:
    mine = {"dev.unstale.owner": "me"}
    alive = docker.add(replace(container, labels=mine | {"dev.unstale.run": "alive"}))
    docker.add(replace(container, id="c-3", labels=mine | {"dev.unstale.run": "r3"}))
    theirs = {"dev.unstale.owner": "you", "dev.unstale.run": "r3"}
    foreign = docker.add(replace(container, id="c-9", labels=theirs))
    docker.live_networks["n"] = mine | {"dev.unstale.run": "r1"}
    docker.live_volumes["v"] = mine | {"dev.unstale.run": "r2"}
    docker.live_volumes["unlabelled"] = mine

    found = _sweep(docker, clock, "r4")

    assert found.removed == {"r1": 1, "r2": 1, "r3": 1, "r4": 0}
    assert found.words == "3 objects of 3 dead runs removed"
    assert docker.live == [alive, foreign]
    assert docker.live_volumes == {"unlabelled": mine}


def test_what_one_dead_run_left_does_not_keep_the_others(
    docker: FakeDocker, clock: FakeClock
) -> None:
    mine = {"dev.unstale.owner": "me"}
    docker.live_networks["stuck-one"] = mine | {"dev.unstale.run": "r1"}
    docker.live_networks["other"] = mine | {"dev.unstale.run": "r2"}
    docker.stuck = {"stuck-one"}

    found = _sweep(docker, clock)

    assert docker.live_networks.keys() == {"stuck-one"}
    assert isinstance(found.error, TearDownFailed)
    assert "1 objects of 1 dead runs removed; here could not be swept: " in found.words


def test_a_refused_removal_is_tried_again(docker: FakeDocker, clock: FakeClock) -> None:
    docker.live_networks = {"demo_default": RUN}
    refusals = [Unavailable("has active endpoints")]
    drop = docker.remove_networks

    def refuse_once(names: Sequence[str]) -> None:
        if refusals:
            raise refusals.pop()
        drop(names)

    docker.remove_networks = refuse_once  # type: ignore[method-assign] # one refusal, then the real fake

    assert remove(docker, clock, RUN) == 1


def test_a_sweep_gives_an_engine_up_that_goes_meanwhile(
    docker: FakeDocker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {"dev.unstale.owner": "me"}
    for run in ("r1", "r2", "r3"):
        docker.live_networks[run] = mine | {"dev.unstale.run": run}

    def gone(_: Sequence[str]) -> None:
        raise GONE

    monkeypatch.setattr(docker, "remove_networks", gone)

    assert _sweep(docker, clock).error is GONE
    assert clock.elapsed < 15
