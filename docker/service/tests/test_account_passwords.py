"""Password rules, and hashing."""

import asyncio

import pytest

from accounts.passwords import MAX_LENGTH, Passwords, unmet_rules

GOOD = "Correct-Horse-7-Battery"


def test_a_good_password_meets_every_rule() -> None:
    """Nothing is left to say about it."""
    assert unmet_rules(GOOD) == ()


@pytest.mark.parametrize(
    ("password", "unmet"),
    [
        pytest.param("Short-7", "at least 12 characters", id="short"),
        pytest.param("Aa7" * MAX_LENGTH, "at most 128 characters", id="long"),
        pytest.param(GOOD.upper(), "a lower-case letter", id="no lower case"),
        pytest.param(GOOD.lower(), "an upper-case letter", id="no upper case"),
        pytest.param(GOOD.replace("7", "-"), "a digit", id="no digit"),
    ],
)
def test_the_unmet_rule_is_named(password: str, unmet: str) -> None:
    """Each password breaks one rule."""
    assert unmet_rules(password) == (unmet,)


def test_all_unmet_rules_are_named_at_once() -> None:
    """Nobody has to guess their way through them."""
    assert len(unmet_rules("")) == 4


def test_only_the_password_that_was_hashed_matches() -> None:
    """The hash is not the password, and no user matches nothing."""
    passwords = Passwords(time_cost=1, memory_kib=8192)

    async def scenario() -> None:
        hashed = await passwords.hash(GOOD)

        assert GOOD not in hashed
        assert await passwords.matches(GOOD, hashed)
        assert not await passwords.matches(GOOD + "!", hashed)
        assert not await passwords.matches(GOOD, None)

    asyncio.run(scenario())
