"""What psql said, as a rung; and the wait that climbs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from unstale.errors import NotReady, TimedOut
from unstale.facts import ContainerFact
from unstale.ports import CommandResult, RunOptions
from unstale.schema.ladder import Missed, Rung, Served, answer, together, unnamed
from unstale.schema.wait import wait_for_postgres

if TYPE_CHECKING:
    from conftest import FakeClock, FakeDocker

AT = 'psql: error: connection to server at "172.17.0.3", port 5432 failed: '
ROW = "2026-01-01 00:00:00.5+00"


def _said(words: str, code: int = 2) -> CommandResult:
    return CommandResult(code, "", words, 0.1)


def _row(started: str = ROW, recovering: str = "f") -> CommandResult:
    return CommandResult(0, f"{started}|{recovering}\n", "", 0.1)


def _missed(words: str) -> Missed:
    found = answer(_said(words))
    assert isinstance(found, Missed)
    return found


# --- Rungs ---


@pytest.mark.parametrize(
    ("words", "rung", "final"),
    [
        (
            'psql: error: could not translate host name "db" to address: Name or service not known',
            Rung.NAME,
            False,
        ),
        (AT + "Connection refused\n\tIs the server running on that host?", Rung.TCP, False),
        (AT + "timeout expired", Rung.TCP, False),
        (AT + "No route to host", Rung.TCP, False),
        (AT + "server closed the connection unexpectedly", Rung.PROTOCOL, False),
        (AT + "could not receive data: Connection reset by peer", Rung.PROTOCOL, False),
        (AT + "FATAL:  the database system is starting up", Rung.PROTOCOL, False),
        (AT + "FATAL:  the database system is shutting down", Rung.PROTOCOL, False),
        (AT + "FATAL:  the database system is not yet accepting connections", Rung.PROTOCOL, False),
        (AT + "FATAL:  sorry, too many clients already", Rung.PROTOCOL, False),
        (AT + 'FATAL:  password authentication failed for user "app"', Rung.AUTH, True),
        (AT + "fe_sendauth: no password supplied", Rung.AUTH, True),
        (AT + 'FATAL:  no pg_hba.conf entry for host "10.0.0.2", user "app"', Rung.AUTH, True),
        (AT + 'FATAL:  role "app" does not exist', Rung.AUTH, True),
        (AT + 'FATAL:  role "app" is not permitted to log in', Rung.AUTH, True),
        (AT + 'FATAL:  database "shop" does not exist', Rung.DATABASE, True),
        (AT + 'FATAL:  permission denied for database "shop"', Rung.DATABASE, True),
        (
            AT + 'FATAL:  database "shop" is not currently accepting connections',
            Rung.DATABASE,
            True,
        ),
        ("FATAL:  terminating connection due to administrator command", Rung.STABLE, False),
        ("Error response from daemon: container 1 is not running", Rung.TCP, False),
        ('ERROR:  column "nope" does not exist', Rung.QUERY, False),
    ],
)
def test_words_name_the_rung_and_whether_waiting_helps(words: str, rung: Rung, final: bool) -> None:
    missed = _missed(words)

    assert (missed.rung, missed.final) == (rung, final)


@pytest.mark.parametrize(
    ("words", "rung", "final"),
    [
        (AT + "FATAL:  28P01: Passwort-Authentifizierung fehlgeschlagen", Rung.AUTH, True),
        (AT + "FATAL:  28000: kein pg_hba.conf-Eintrag", Rung.AUTH, True),
        (AT + "FATAL:  3D000: Datenbank »shop« existiert nicht", Rung.DATABASE, True),
        (AT + "FATAL:  57P03: das Datenbanksystem startet", Rung.PROTOCOL, False),
        (AT + "FATAL:  53300: tut mir leid, schon zu viele Verbindungen", Rung.PROTOCOL, False),
        ("FATAL:  57P01: Verbindung wird abgebrochen", Rung.STABLE, False),
        ("FEHLER:  42501: keine Berechtigung für Funktion", Rung.QUERY, False),
    ],
)
def test_a_code_is_read_in_any_language(words: str, rung: Rung, final: bool) -> None:
    missed = _missed(words)

    assert (missed.rung, missed.final) == (rung, final)


@pytest.mark.parametrize(
    ("is_ready", "rung"), [(0, Rung.AUTH), (1, Rung.PROTOCOL), (2, Rung.TCP), (127, Rung.QUERY)]
)
def test_unknown_words_are_placed_by_the_code_of_pg_isready(is_ready: int, rung: Rung) -> None:
    words = AT + "FATAL:  Passwort-Authentifizierung für Benutzer »app« fehlgeschlagen"

    assert answer(_said(words)) is None
    missed = unnamed(words, is_ready)
    assert (missed.rung, missed.final) == (rung, False)
    assert "»app«" in missed.words


def test_a_rung_is_told_with_the_first_line_that_was_said() -> None:
    missed = _missed(AT + "Connection refused\n\tIs the server running on that host?")

    assert str(missed) == (
        'tcp: connection to server at "172.17.0.3", port 5432 failed: Connection refused'
    )


def test_silence_is_told_as_such() -> None:
    assert str(unnamed("", 2)) == "tcp: nothing was said"


def test_a_server_in_recovery_is_not_stable() -> None:
    assert answer(_row(recovering="t")) == Missed(
        Rung.STABLE, "the server is in recovery: it only reads"
    )


@pytest.mark.parametrize("text", ["", "1", "f", "|f"])
def test_a_row_of_another_shape_is_no_answer(text: str) -> None:
    found = answer(CommandResult(0, text, "", 0.1))

    assert isinstance(found, Missed)
    assert found.rung is Rung.QUERY


def test_two_servers_in_a_row_are_not_stable() -> None:
    one, other = Served("1"), Served("2")
    late = Missed(Rung.TCP, "refused")

    assert together(one, one) == one
    assert together(None, one) == one
    assert together(late, one) == one
    assert together(one, late) == late
    replaced = together(one, other)
    assert isinstance(replaced, Missed)
    assert replaced.rung is Rung.STABLE


def test_every_rung_has_a_likely_cause() -> None:
    assert all(rung.likely for rung in Rung)


# --- The wait ---


def _answers(docker: FakeDocker, *results: CommandResult) -> list[RunOptions]:
    """Let psql answer *results*, the last of them for ever; returns what was asked."""
    left, asked = list(results), []

    def run(_container: str, options: RunOptions) -> CommandResult:
        asked.append(options)
        docker.clock.sleep(0.05)
        return left.pop(0) if len(left) > 1 else left[0]

    docker.on_execute = run
    return asked


def _wait(docker: FakeDocker, clock: FakeClock, container: ContainerFact) -> None:
    wait_for_postgres(docker, clock, container, deadline_s=60)


def _failure(docker: FakeDocker, clock: FakeClock, container: ContainerFact) -> NotReady:
    with pytest.raises(NotReady) as caught:
        _wait(docker, clock, container)
    return caught.value


@pytest.fixture
def database(docker: FakeDocker, container: ContainerFact) -> ContainerFact:
    docker.printed[container.id] = ("listening", "ready")
    return docker.add(replace(container, service="postgres"))


def test_two_answers_of_one_server_are_enough(
    docker: FakeDocker, clock: FakeClock, database: ContainerFact
) -> None:
    asked = _answers(docker, _row())

    _wait(docker, clock, database)

    assert len(asked) == 2
    assert ("LC_ALL", "C") in asked[0].environment
    assert "VERBOSITY=verbose" in asked[0].argv


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ((_said(AT + "Connection refused"), _row()), 3),
        ((_said(AT + "FATAL:  the database system is starting up"), _row()), 3),
        ((_row("first"), _row("second")), 3),
        ((_row("first"), _said(AT + "Connection refused"), _row("first")), 4),
        ((_row(recovering="t"), _row()), 3),
    ],
    ids=["refused", "starting", "replaced", "one-lost", "recovering"],
)
def test_what_may_pass_is_asked_again(
    docker: FakeDocker,
    clock: FakeClock,
    database: ContainerFact,
    results: Sequence[CommandResult],
    expected: int,
) -> None:
    asked = _answers(docker, *results)

    _wait(docker, clock, database)

    assert len(asked) == expected


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ('FATAL:  password authentication failed for user "app"', "auth"),
        ('FATAL:  database "shop" does not exist', "database"),
    ],
)
def test_what_can_not_pass_fails_at_once_and_names_the_rung(
    docker: FakeDocker, clock: FakeClock, database: ContainerFact, words: str, named: str
) -> None:
    _answers(docker, _said(AT + words))

    error = _failure(docker, clock, database)

    assert clock.elapsed < 1
    assert error.what.startswith(f"The database 'postgres' refused for good at {named}: ")
    assert words in error.what
    assert "A volume keeps" in error.cause
    assert error.cause.endswith("Its last log lines:\n  listening\n  ready")


def test_the_deadline_tells_the_last_error_not_the_first(
    docker: FakeDocker, clock: FakeClock, database: ContainerFact
) -> None:
    starting = _said(AT + "FATAL:  the database system is starting up")
    _answers(docker, _said(AT + "Connection refused"), starting)

    error = _failure(docker, clock, database)

    assert 60 <= clock.elapsed < 62
    assert "within 60 s; it was last stopped at protocol: " in error.what
    assert "starting up" in error.what
    assert "refused" not in error.what


def test_a_server_that_hangs_is_waited_for_until_the_deadline(
    docker: FakeDocker, clock: FakeClock, database: ContainerFact
) -> None:
    def hang(_container: str, options: RunOptions) -> CommandResult:
        clock.sleep(options.deadline_s)
        raise TimedOut("psql did not end.")

    docker.on_execute = hang

    error = _failure(docker, clock, database)

    assert "query: no answer within 10 s" in error.what


def test_one_answer_at_the_deadline_is_not_enough(
    docker: FakeDocker, clock: FakeClock, database: ContainerFact
) -> None:
    def slow(_container: str, _options: RunOptions) -> CommandResult:
        clock.sleep(61)
        return _row()

    docker.on_execute = slow

    assert "stable: it answered only once" in _failure(docker, clock, database).what


def test_words_of_an_unknown_language_are_asked_about_once_more(
    docker: FakeDocker, clock: FakeClock, database: ContainerFact
) -> None:
    asked = _answers(docker, _said(AT + "FATAL:  kennwort falsch"), _said("", code=0))
    clock.at(0.2, lambda: _answers(docker, _row()))

    _wait(docker, clock, database)

    assert "pg_isready" in asked[1].argv[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "exited", "exit_code": 7}, "ended with exit code 7."),
        ({"status": "dead", "exit_code": 1}, "ended with exit code 1."),
        (
            {"status": "exited", "exit_code": 137, "oom_killed": True},
            "ended with exit code 137 (out of memory).",
        ),
        (
            {"status": "restarting", "exit_code": 3, "restart_count": 1},
            "ended with exit code 3 and was started again by the engine.",
        ),
        ({"restart_count": 1}, "ended and was started again by the engine."),
    ],
)
def test_a_container_that_ended_is_final_and_shows_its_log(
    docker: FakeDocker,
    clock: FakeClock,
    database: ContainerFact,
    change: dict[str, object],
    words: str,
) -> None:
    _answers(docker, _said(AT + "Connection refused"))
    clock.at(2, lambda: setattr(docker, "live", [replace(database, **change)]))  # type: ignore[arg-type] # a table of fields

    error = _failure(docker, clock, database)

    assert clock.elapsed < 3
    assert error.what == f"The database 'postgres' {words}"
    assert "  listening\n  ready" in error.cause


def test_a_container_that_was_removed_is_final(
    docker: FakeDocker, clock: FakeClock, database: ContainerFact
) -> None:
    _answers(docker, _said("Error response from daemon: No such container: c-app"))
    clock.at(2, docker.live.clear)
    docker.printed.clear()

    error = _failure(docker, clock, database)

    assert error.what == "The database 'postgres' is gone: its container was removed."
    assert error.cause == "It wrote no log."


def test_restarts_before_the_wait_are_forgiven(
    docker: FakeDocker, clock: FakeClock, database: ContainerFact
) -> None:
    docker.live = [restarted := replace(database, restart_count=4)]
    asked = _answers(docker, _row())

    _wait(docker, clock, restarted)

    assert len(asked) == 2
