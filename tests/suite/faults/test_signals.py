"""F1 to F6 and F22: each signal at each step, and what the caller had done to the run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from kills import SIGNALS, WORDLESS, Kill, Scene, Victim, Witness, hit, scene, victims

# Promised are 7 s and 5 s, and the campaign measures them; other tests keep this machine busy.
_GONE_S = 20.0
_EMPTY_S = 15.0
OURS = replace(victims()["unstale"], argv=(*victims()["unstale"].argv, "--json"))

# A docker command that the step gives; the first such command is slow.
MIDDLES = {
    "config": "compose config",
    "sweep": "network ls",
    "build": "compose build",
    "look into an image": "create",
    "up": "compose up",
    "wait": "inspect",
    "tests": "compose run",
    "fetch": "cp",
    "down": "container rm",
}
BOUNDARIES = (
    "sweep",
    "env_parity",
    "image_freshness",
    "build_if_needed",
    "find_receipt",
    "prepare_stack",
    "database_ready",
    "migrate",
    "schema_status",
    "up",
    "running_image",
    "run_tests",
    "verify_in_image",
    "inputs_unchanged",
)
TARGETS = ("leader", "group")
_OFTEN = ("INT", "TERM", "HUP", "INT2", "INT3")


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    one = Witness()
    yield one
    one.close()


@pytest.fixture
def place(tmp_path: Path, witness: Witness) -> Iterator[Scene]:
    with scene(tmp_path, witness=witness) as one:
        yield one


def _require_clean(place: Scene, kill: Kill) -> None:
    told = f"{kill}\n{place.printed()}"
    assert not kill.late, told
    assert kill.right, told
    assert not kill.is_leaky, told
    assert kill.gone <= _GONE_S, told
    assert "Traceback" not in place.printed(), told
    if kill.signal in WORDLESS:
        assert kill.empty is not None, told
        assert kill.empty <= _EMPTY_S, told
    else:
        assert kill.clients == (), told


def _require_one_document(place: Scene, code: int) -> None:
    document = json.loads(place.printed("out"))
    assert (document["schema"], document["code"]) == ("unstale/run@1", code)


def _cases(wanted: set[tuple[str, str, str]]) -> list[object]:
    """All of a matrix; only those *wanted* run in CI."""
    return [
        pytest.param(*case, id="-".join(case), marks=() if case in wanted else pytest.mark.long)
        for case in product(MIDDLES, _OFTEN, TARGETS)
    ]


@pytest.mark.parametrize(
    ("middle", "name", "target"),
    _cases(
        {
            ("look into an image", "TERM", "leader"),
            ("up", "INT2", "group"),
            ("tests", "HUP", "leader"),
        }
    ),
)
def test_a_signal_in_the_middle_of_a_step(
    middle: str, name: str, target: str, place: Scene
) -> None:
    victim = place.slowly(OURS, MIDDLES[middle])
    process = place.start(victim)
    place.await_moment(process)

    kill = hit(place, victim, process, name, target)

    _require_clean(place, kill)
    _require_one_document(place, 128 + SIGNALS[name][0])


@pytest.mark.parametrize(("at", "boundary"), list(enumerate(BOUNDARIES)), ids=BOUNDARIES)
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.long) for n in _OFTEN[:3]])
def test_a_signal_between_two_steps(at: int, boundary: str, name: str, place: Scene) -> None:
    process = place.start(OURS)
    place.await_moment(process, boundary)

    kill = hit(place, OURS, process, name, TARGETS[at % 2])

    _require_clean(place, kill)
    _require_one_document(place, 128 + SIGNALS[name][0])


@pytest.mark.parametrize(
    ("middle", "name"),
    [
        ("up", "KILL"),
        *(
            pytest.param(middle, name, marks=pytest.mark.long)
            for middle, name in product(MIDDLES, ("KILL", "QUIT"))
            if (middle, name) != ("up", "KILL")
        ),
    ],
)
def test_a_death_without_a_word_in_the_middle_of_a_step(
    middle: str, name: str, place: Scene
) -> None:
    victim = place.slowly(OURS, MIDDLES[middle])
    process = place.start(victim)
    place.await_moment(process)

    _require_clean(place, hit(place, victim, process, name, "group"))


@pytest.mark.long
@pytest.mark.parametrize("verb", ["create", "compose up", "compose run"])
@pytest.mark.parametrize("name", ["INT", "KILL"])
def test_what_the_engine_does_after_its_client_is_gone_is_removed(
    verb: str, name: str, place: Scene
) -> None:
    """It comes when the run has looked already: the watchdog looks once more."""
    victim = place.slowly(OURS, verb, late=True)
    process = place.start(victim)
    place.await_moment(process)

    kill = hit(place, victim, process, name, "group")

    assert kill.right
    end = time.monotonic() + _EMPTY_S
    while place.leak() or time.monotonic() < end - 2:
        assert time.monotonic() < end, place.leak()
        time.sleep(0.2)


def _started_by(shell: str, victim: Victim = OURS) -> Victim:
    """Start it as the *shell* line does; ``"$@"`` is the command."""
    return replace(victim, argv=("bash", "-c", shell, "bash", *victim.argv))


@pytest.mark.parametrize("name", ["INT", pytest.param("HUP", marks=pytest.mark.long)])
def test_a_signal_that_whoever_started_it_ignored(name: str, place: Scene) -> None:
    """So do nohup, and a shell for what runs in the background."""
    victim = place.slowly(_started_by('trap "" INT HUP; exec "$@"'), "compose up")
    process = place.start(victim)
    place.await_moment(process)

    kill = hit(place, victim, process, name, "group")

    _require_clean(place, kill)
    _require_one_document(place, 128 + SIGNALS[name][0])


@pytest.mark.long
@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
@pytest.mark.parametrize("stream", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_signal_to_a_run_with_a_closed_stream(stream: str, name: str, place: Scene) -> None:
    victim = place.slowly(_started_by(f'exec "$@" {stream}'), "compose up")
    process = place.start(victim)
    place.await_moment(process)

    _require_clean(place, hit(place, victim, process, name, "leader"))


@pytest.mark.long
@pytest.mark.parametrize(
    "stream", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "> >(exit)", "2> >(exit)"]
)
def test_a_run_with_a_stream_that_is_closed_or_that_nobody_reads(stream: str, place: Scene) -> None:
    process = place.start(_started_by(f'exec "$@" {stream}'))

    assert process.wait(120) == 0, place.printed()

    assert not place.leak()
    assert "Traceback" not in place.printed()


@pytest.mark.long
def test_the_inv_command_removes_all_too(place: Scene) -> None:
    (place.root / "tasks.py").write_text("from unstale import ns\n")
    inv = replace(OURS, argv=(sys.executable, "-m", "invoke", "test.integration", "--json"))
    victim = place.slowly(inv, "compose up")
    process = place.start(victim)
    place.await_moment(process)

    kill = hit(place, victim, process, "INT", "group")

    _require_clean(place, kill)
    _require_one_document(place, 130)
