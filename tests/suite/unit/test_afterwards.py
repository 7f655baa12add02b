"""What is removed after a block, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from unstale.afterwards import HURRY_S, afterwards
from unstale.errors import (
    EngineUnavailable,
    Interrupted,
    TestsFailed,
    TimedOut,
    Unavailable,
    UnstaleError,
)

REFUSED = Unavailable("Docker refused.", cause="in use")


class Removal:
    """A removal that notes what it is told, and then fails as it is told."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.told: list[float | None] = []

    def __call__(self, seconds: float | None) -> None:
        self.told.append(seconds)
        if self.error is not None:
            raise self.error


def test_it_follows_a_block_that_ended_well() -> None:
    removal = Removal()

    with afterwards(removal):
        assert removal.told == []

    assert removal.told == [None]


def test_its_failure_is_told_where_nothing_else_was_wrong() -> None:
    with pytest.raises(Unavailable) as caught, afterwards(Removal(REFUSED)):
        pass

    assert caught.value is REFUSED


@pytest.mark.parametrize(
    "error", [TestsFailed("red", cause="3 of 4"), Interrupted(2), TimedOut("late")]
)
def test_its_failure_never_replaces_the_error_and_is_added_to_it(error: UnstaleError) -> None:
    before = error.cause

    with pytest.raises(UnstaleError) as caught, afterwards(Removal(REFUSED)):
        raise error

    assert caught.value is error
    assert error.is_left
    assert error.cause == f"{before}\nAfter that: Docker refused. in use".lstrip()


def test_an_error_after_which_all_went_says_nothing_of_it() -> None:
    error = TestsFailed("red", cause="3 of 4")

    with pytest.raises(TestsFailed), afterwards(Removal()):
        raise error

    assert (error.cause, error.is_left) == ("3 of 4", False)


def test_a_bug_stays_the_bug_that_it_is() -> None:
    with pytest.raises(KeyError), afterwards(Removal(REFUSED)):
        raise KeyError


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Interrupted(2), HURRY_S),
        (KeyboardInterrupt(), HURRY_S),
        (EngineUnavailable("gone"), HURRY_S),
        (TestsFailed("red"), None),
    ],
)
def test_after_a_signal_nobody_waits_long(error: BaseException, seconds: float | None) -> None:
    removal = Removal()

    with pytest.raises(type(error)), afterwards(removal):
        raise error

    assert removal.told == [seconds]


def test_a_signal_that_comes_under_the_removal_is_raised() -> None:
    with pytest.raises(Interrupted), afterwards(Removal(Interrupted(15))):
        raise TestsFailed("red")


@pytest.mark.parametrize("error", [None, TestsFailed("red")])
def test_it_runs_while_signals_are_held(error: UnstaleError | None) -> None:
    seen: list[str] = []

    @contextmanager
    def held() -> Iterator[None]:
        seen.append("held")
        yield
        seen.append("free")

    with suppress(TestsFailed), afterwards(lambda _: seen.append("gone"), held):
        if error is not None:
            raise error

    assert seen == ["held", "gone", "free"]


def test_who_has_read_enough_is_told_that_something_stays() -> None:
    def read() -> Iterator[int]:
        with afterwards(Removal(REFUSED)):
            yield 1

    reading = read()
    assert next(reading) == 1
    with pytest.raises(Unavailable):
        reading.close()
