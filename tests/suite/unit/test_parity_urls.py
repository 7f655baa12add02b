"""URLs by their parts: what differs is named, and no value is."""

from __future__ import annotations

import pytest

from unstale.parity.urls import difference_in_words, host_only, shown


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        ("http://app:8000/", "http://web:8000/", "only the host differs"),
        ("http://app:8000/", "http://web:8001/", "host and port differ"),
        ("http://app:8000", "http://app:8001", "only the port differs"),
        ("http://app", "https://app", "only the scheme differs"),
        ("redis://:heron@c/0", "redis://:plover@c/0", "only the password differs"),
        ("redis://:heron@c/0", "redis://:plover@d/0", "password and host differ"),
        ("postgresql://heron@db/app", "postgresql://plover@db/app", "only the user differs"),
        ("postgresql://a@db/app", "postgresql://a:heron@db/app", "only the password differs"),
        ("postgresql+psycopg://db/app", "postgresql://db/app", "only the scheme differs"),
        ("postgresql://db/app", "postgresql://db/test", "only the database differs"),
        ("jdbc:mysql://db/app", "jdbc:mysql://db/test", "only the database differs"),
        ("sqlite:///app.db", "sqlite:////tmp/app.db", "only the database differs"),
        ("http://app/v1", "http://app/v2", "only the path differs"),
        ("http://app/?a=1&b=1", "http://app/?b=2&a=1", "only b in the query differs"),
        ("http://app/?a=1", "http://app/?a=1&a=2", "only a in the query differs"),
        ("http://app/?heron%20", "http://app/?plover", "only the query differs"),
        ("http://app/#a", "http://app/#b", "only the fragment differs"),
        ("a://u:p@h:1/x", "b://v:q@i:2/y", "scheme, user, password, host, port and path differ"),
        ("db:5432", "database:5432", "only the host differs"),
        ("[::1]:5432", "[::2]:5432", "only the host differs"),
        ("a:9092,b:9092", "a:9092,c:9093", "host and port differ"),
        ("http://APP/", "http://app/", "only the spelling differs"),
        ("redis://cache", "redis://cache:6379", "only the spelling differs"),
        ("http://a:b%40c@app", "http://a:b@c@app", "only the spelling differs"),
        # A password with what should have been quoted.
        ("postgresql://u:he/ron@db/a", "postgresql://u:plo?ver@db/a", "only the password differs"),
    ],
)
def test_the_parts_that_differ_are_named(left: str, right: str, words: str) -> None:
    assert difference_in_words(left, right) == words
    assert difference_in_words(right, left) == words


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("http://app", "http://app"),
        ("http://app", "warning"),
        ("", "http://app"),
        ("postgres:17", "postgres:16"),
        ("12:30", "12:45"),
        ("see http://app", "see http://web"),
    ],
)
def test_equal_texts_and_what_is_no_url_have_no_words(left: str, right: str) -> None:
    assert difference_in_words(left, right) is None


@pytest.mark.parametrize(
    ("left", "right", "only"),
    [
        ("http://app:8000/v1", "http://web:8001/v1", True),
        ("redis://:heron@a/0", "redis://:heron@b/0", True),
        ("redis://:heron@a/0", "redis://:plover@b/0", False),
        ("http://app/v1", "http://web/v2", False),
        ("app", "web", False),
    ],
)
def test_host_only_allows_host_and_port(left: str, right: str, only: bool) -> None:
    assert host_only(left, right) is only


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://app:heron@db:5432/app", "postgresql://***@db:5432/app"),
        ("https://heron@example.com/1", "https://***@example.com/1"),
        ("redis://:he/r@on@cache:6379/0", "redis://***@cache:6379/0"),
        ("http://app:8000/v1?page=2", "http://app:8000/v1?page=2"),
        ("http://app/?token=heron&page=2", "http://app/?token=***&page=2"),
        ("http://app/?heron", "http://app/?***"),
        ("http://app/cb#heron", "http://app/cb#***"),
        ("https://hooks.slack.com/services/T0/B0/heron", "https://hooks.slack.com/***"),
        ("http://app/71d05ea93c8f4b26bd1e6f40a7c2985d/x", "http://app/***/x"),
        ("db:5432", "db:5432"),
        ("heron", "***"),
        ("see http://heron", "***"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_the_words_quote_no_value() -> None:
    left = "postgresql://heron:heron@heron:1111/heron?heron=heron-left#heron"
    right = "mysql://plover:plover@plover:2222/plover?heron=plover#plover"

    words = difference_in_words(left, right)

    assert words == (
        "scheme, user, password, host, port, database, heron in the query and fragment differ"
    )
