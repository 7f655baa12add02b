"""The locks of the image's two environments."""

import re
from pathlib import Path

SERVICE = Path(__file__).parents[1]
PIN = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>[^\s;]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock."""
    return dict(PIN.findall((SERVICE / lock).read_text(encoding="utf-8")))


def test_tests_run_on_the_versions_that_are_shipped() -> None:
    """Every pin of the service's lock is in the tests' lock too."""
    shipped = pins("requirements.lock")

    assert shipped
    assert shipped.items() <= pins("requirements-test.lock").items()


def test_no_lock_names_a_registry() -> None:
    """Mirrors come from the machine's own configuration."""
    for lock in SERVICE.glob("*.lock"):
        assert "://" not in lock.read_text(encoding="utf-8"), lock.name
