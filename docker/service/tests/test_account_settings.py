"""The settings, and the files in env/ that supply them."""

from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from accounts.settings import Settings, read_settings

ENV = Path(__file__).parents[3] / "env"
NAMES = ("example", "dev", "test", "ci")


def values(name: str) -> dict[str, str]:
    """Return the keys and values of one environment file."""
    parsed = dotenv_values(ENV / f".env.{name}", interpolate=False)
    return {key: value or "" for key, value in parsed.items()}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give the process the test environment's values."""
    for key, value in values("test").items():
        monkeypatch.setenv(key, value)
    return monkeypatch


@pytest.mark.parametrize("name", NAMES)
def test_each_environment_file_is_valid(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service starts with any of them."""
    for key, value in values(name).items():
        monkeypatch.setenv(key, value)

    assert read_settings().environment == values(name)["ENVIRONMENT"]


@pytest.mark.parametrize("name", NAMES)
def test_each_environment_file_has_every_setting(name: str) -> None:
    """None is left to a default that nobody sees."""
    assert {field.upper() for field in Settings.model_fields} <= values(name).keys()


@pytest.mark.parametrize("name", NAMES)
def test_all_environment_files_have_the_same_keys(name: str) -> None:
    """In the same order, too: they are read side by side."""
    assert list(values(name)) == list(values("example"))


def test_each_key_of_the_example_is_explained() -> None:
    """The line before it is a comment."""
    lines = (ENV / ".env.example").read_text(encoding="utf-8").splitlines()
    unexplained = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if "=" in line and not before.startswith("# ")
    ]

    assert unexplained == []


@pytest.mark.parametrize("name", NAMES)
def test_the_database_url_agrees_with_the_postgres_keys(name: str) -> None:
    """The same password stands in two places."""
    env = values(name)

    assert env["DATABASE_URL"].startswith(
        f"postgresql+psycopg://{env['POSTGRES_USER']}:{env['POSTGRES_PASSWORD']}@"
    )
    assert env["DATABASE_URL"].endswith(f"/{env['POSTGRES_DB']}")


def test_secrets_differ_between_environments() -> None:
    """One that leaks opens one environment."""
    for key in ("JWT_SECRET", "POSTGRES_PASSWORD"):
        assert len({values(name)[key] for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("JWT_SECRET", "too short"),
        ("API_V1_PREFIX", "api/v1/"),
        ("PASSWORD_HASH_MEMORY_KIB", "8"),
        ("ACCESS_TOKEN_SECONDS", "0"),
        ("ENVIRONMENT", "staging"),
    ],
)
def test_a_value_out_of_range_is_refused(
    environment: pytest.MonkeyPatch, key: str, value: str
) -> None:
    """At the start, not at the first request."""
    environment.setenv(key, value)

    with pytest.raises(ValidationError, match=key.lower()):
        read_settings()


@pytest.mark.usefixtures("environment")
def test_secrets_are_not_in_the_settings_text() -> None:
    """A log line with the settings gives nothing away."""
    shown = repr(read_settings())

    assert values("test")["POSTGRES_PASSWORD"] not in shown
    assert values("test")["JWT_SECRET"] not in shown
