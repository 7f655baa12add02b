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
    assert difference_in_words(left, right, key="API_URL") == words
    assert difference_in_words(right, left, key="API_URL") == words


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
    assert difference_in_words(left, right, key="API_URL") is None


SERVICES = ("app", "db")


@pytest.mark.parametrize(
    ("key", "left", "right", "is_address"),
    [
        pytest.param("IMG", "app:1001", "app:1002", False, id="image-in-short"),
        pytest.param("APP_IMAGE", "app:8001", "app:8002", False, id="image"),
        pytest.param("IMAGE_URL", "example.com:5000", "example.com:6000", False, id="image-first"),
        pytest.param("appVersions", "app:8001", "app:8002", False, id="versions"),
        pytest.param("TAG", "app:8001", "app:8002", False, id="tag"),
        pytest.param("T", "db:300", "db:600", False, id="no-port"),
        pytest.param("T", "db:20240101", "db:20240102", False, id="date"),
        pytest.param("T", "db:70000", "db:70001", False, id="no-port-either"),
        pytest.param("T", "red:3000", "red:6000", False, id="no-service"),
        pytest.param("T", "db:3000", "red:3000", False, id="one-is-none"),
        pytest.param("", "example.com:300", "example.com:600", False, id="no-port-of-a-host"),
        pytest.param("T", "db:5432", "app:5432", True, id="services"),
        pytest.param("T", "db:443", "app:443", True, id="known-port"),
        pytest.param("T", "a.example.com:8080", "10.0.0.1:8080", True, id="with-dots"),
        pytest.param("T", "localhost:8080", "[::1]:8080", True, id="this-host"),
        pytest.param("CACHE_HOST", "red:300", "blue:300", True, id="named-host"),
        pytest.param("KAFKA_BROKERS", "a:9092,b:9092", "c:9092", True, id="named-brokers"),
        pytest.param("bindAddress", "a:8080", "b:8080", True, id="named-address"),
        pytest.param("DATABASES", "a:5432", "b:5432", True, id="named-database"),
        pytest.param("IMG", "http://a:8080", "http://b:8080", True, id="url"),
    ],
)
def test_a_host_and_a_port_are_an_address_only_where_that_is_sure(
    key: str, left: str, right: str, is_address: bool
) -> None:
    words = difference_in_words(left, right, key=key, services=SERVICES)

    assert (words is not None) is is_address
    assert host_only(left, right, key=key, services=SERVICES) is is_address


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
