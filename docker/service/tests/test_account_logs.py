"""What the access log leaves out."""

import logging

import pytest

from accounts.logs import configure_logging, is_worth_a_line


def access(path: str, status: int) -> logging.LogRecord:
    """Return what uvicorn logs for one request."""
    args = ("192.0.2.1:5000", "GET", path, "1.1", status)
    message = '%s - "%s %s HTTP/%s" %d'
    return logging.LogRecord(
        "uvicorn.access", logging.INFO, __file__, 0, message, args, None
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(access("/health", 200), False, id="healthy"),
        pytest.param(access("/health", 503), True, id="unhealthy"),
        pytest.param(access("/api/v1/users/me", 200), True, id="any other path"),
    ],
)
def test_only_successful_health_checks_are_left_out(
    record: logging.LogRecord, *, expected: bool
) -> None:
    """A failing one is news."""
    assert is_worth_a_line(record) is expected


def test_the_level_holds_for_the_server_too() -> None:
    """Uvicorn's loggers do not inherit it."""
    configure_logging("WARNING")

    assert not logging.getLogger("uvicorn.access").isEnabledFor(logging.INFO)
    assert not logging.getLogger("accounts.refresh").isEnabledFor(logging.INFO)
