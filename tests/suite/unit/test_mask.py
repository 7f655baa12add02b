"""The mask: which names are secret, and what becomes of their values in text."""

from __future__ import annotations

import pytest

from unstale.mask import MASK, Mask, is_secret, mask_for


@pytest.mark.parametrize(
    "key",
    [
        "POSTGRES_PASSWORD", "DB_PWD", "jwt_secret", "API_KEY", "SENTRY_DSN", "REFRESH_TOKEN",
        "SMTP_CREDENTIALS", "PASSWORD_SALT", "GITHUB_PAT", "SESSION_COOKIE", "AUTH_HEADER",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", ["LOG_LEVEL", "DEBUG", "API_V1_PREFIX", "PATH", "POSTGRES_USER"])
def test_an_ordinary_name_is_no_secret(key: str) -> None:
    assert not is_secret(key, "value")


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("postgresql+psycopg://app:heron@db:5432/app", True),
        ("redis://:heron@cache:6379/0", True),
        ("http://app:8000/docs", False),
        ("https://example.com/@heron", False),
        ("user@example.com", False),
    ],
)
def test_a_url_is_secret_if_it_holds_a_password(value: str, secret: bool) -> None:
    assert is_secret("ADDRESS", value) is secret


def test_a_secret_value_leaves_no_trace_in_text() -> None:
    mask = mask_for({"API_KEY": "heron-72", "LOG_LEVEL": "warning"})

    assert mask("warning: key heron-72 refused") == f"warning: key {MASK} refused"


def test_a_secret_that_contains_another_is_hidden_whole() -> None:
    mask = Mask(("heron-72", "heron-72-plover"))

    assert mask("heron-72-plover heron-72") == f"{MASK} {MASK}"


def test_a_url_keeps_all_but_its_password() -> None:
    mask = mask_for({"DATABASE_URL": "postgresql://app:heron-72@db/app"})

    assert mask("postgresql://app:heron-72@db/app") == f"postgresql://app:{MASK}@db/app"
    assert mask("login with heron-72") == f"login with {MASK}"


def test_a_password_in_a_url_is_hidden_even_if_nobody_named_it() -> None:
    assert mask_for({})("connect to amqp://w:pw@mq") == f"connect to amqp://w:{MASK}@mq"


def test_regular_expression_characters_in_a_secret_are_taken_literally() -> None:
    assert mask_for({"TOKEN": "a.c+(d]$"})("abc+(d]$ a.c+(d]$") == f"abc+(d]$ {MASK}"


def test_a_short_secret_does_not_garble_ordinary_words() -> None:
    assert mask_for({"TOKEN": "test"})("12 tests passed") == "12 tests passed"


def test_values_without_a_secret_name_empty_ones_and_none_are_left_alone() -> None:
    mask = mask_for({"A": "ordinary", "API_KEY": None, "B_KEY": ""})

    assert mask("an ordinary line") == "an ordinary line"


def test_a_mask_does_not_print_what_it_hides() -> None:
    assert "heron" not in repr(Mask(("heron-72",)))


def test_two_values_of_one_name_are_both_hidden() -> None:
    mask = mask_for([("API_KEY", "heron-72"), ("API_KEY", "egret-72")])

    assert mask("heron-72 egret-72") == f"{MASK} {MASK}"


def test_a_password_in_the_query_of_a_url_is_hidden() -> None:
    url = "postgresql://app@db.example.com/app?sslmode=require&password=heron-72-x&a=1"

    shown = Mask()(f"could not connect to {url}")

    assert "heron-72-x" not in shown
    assert "&a=1" in shown
    assert is_secret("URL", url)
