"""Commands in messages, as their reader would type them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import unstale
from unstale.spoken import as_typed, form_of, speak

KNOWN = {"image.build", "test.run", "doctor"}


@pytest.fixture(autouse=True)
def plain() -> Iterator[None]:
    yield
    speak("inv", "", ())


@pytest.mark.parametrize(
    ("argv", "form"),
    [
        (["/usr/bin/inv", "image.build"], ("inv", "")),
        (["invoke", "-e", "image.build", "--service", "app"], ("invoke", "")),
        (["/v/lib/invoke/__main__.py", "image.build"], ("inv", "")),
        (["/v/lib/unstale/__main__.py", "image.build"], ("unstale", "")),
        (["/v/bin/unstale", "doctor"], ("unstale", "")),
        (["inv", "mine", "unstale.image.build"], ("inv", "unstale.")),
        (["inv", "ci.doctor"], ("inv", "ci.")),
        (["inv", "test.run", "--", "a.image.build"], ("inv", "")),
        (["/x/pytest", "tests"], ("inv", "")),
        ([], ("inv", "")),
    ],
)
def test_the_command_line_tells_its_form(argv: list[str], form: tuple[str, str]) -> None:
    assert form_of(argv, KNOWN) == form


@pytest.mark.parametrize(
    ("written", "mounted", "alone"),
    [
        ("Next: inv image.build", "Next: inv u.image.build", "Next: unstale image.build"),
        (
            "inv stack.down stack.up, or inv db.reset",
            "inv u.stack.down u.stack.up, or inv u.db.reset",
            "unstale stack.down stack.up, or unstale db.reset",
        ),
        ("inv test.run -- -k a", "inv u.test.run -- -k a", "unstale test.run -- -k a"),
        ("wait, then `inv doctor`", "wait, then `inv u.doctor`", "wait, then `unstale doctor`"),
        ("inv --list", "inv --list", "unstale --list"),
        ("inv deploy", "inv deploy", "inv deploy"),
        ("inv plan.yml image.build", "inv plan.yml image.build", "inv plan.yml image.build"),
        ("./inv.sh test.run", "./inv.sh test.run", "./inv.sh test.run"),
    ],
)
def test_commands_are_said_as_they_were_typed(written: str, mounted: str, alone: str) -> None:
    assert as_typed(written) == written
    speak("inv", "u.", unstale.ns.task_names)
    assert as_typed(written) == mounted
    speak("unstale", "", unstale.ns.task_names)
    assert as_typed(written) == alone


def test_every_task_of_the_package_is_a_command_in_messages() -> None:
    speak("unstale", "", unstale.ns.task_names)

    said = {name: as_typed(f"inv {name}") for name in unstale.ns.task_names}

    assert said == {name: f"unstale {name}" for name in said}
