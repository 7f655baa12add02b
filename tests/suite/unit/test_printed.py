"""What pytest prints is understood as it is printed: by pytest itself, in these tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unstale.pipeline import junit
from unstale.pipeline.printed import Stop, complaints, deselected, has_workers, node_ids, stop

RED = """
import pytest

@pytest.mark.parametrize("name", ["a - b", "it's", "p::q", "[x]", "a/b.py"])
def test_each(name): assert not name, "one - two"

@pytest.fixture
def broken(): raise ValueError("no - way")

class TestHeron:
    def test_flies(self): assert False
    def test_stands(self): pass
    def test_lands(self, broken): pass
"""
PLAIN_RED = "def test_other(): assert False\n"
BROKEN = "raise ImportError('no - way')\n"
STOPS = """
import pytest

@pytest.fixture(scope="session", autouse=True)
def guard(): pytest.exit({message!r}, returncode=3)

def test_it(): pass
"""


def run(folder: Path, *arguments: str) -> str:
    """The output of a pytest of its own, without any plugin that is configured here."""
    argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull)
    where = (f"--rootdir={folder}", "--junit-xml=junit.xml")
    done = subprocess.run(
        (*argv, *where, *arguments), cwd=folder, capture_output=True, text=True, check=False
    )
    return f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("more", [("-v",), ("-q", "--color=yes")], ids=" ".join)
def test_each_failed_test_of_the_junit_file_is_found_as_it_can_be_typed(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    (tmp_path / "tests/api").mkdir(parents=True)
    for name, text in (("api/test_a.py", RED), ("test_b.py", PLAIN_RED), ("test_c.py", BROKEN)):
        (tmp_path / "tests" / name).write_text(text)

    output = run(tmp_path, "tests", "--continue-on-collection-errors", *more)

    known = node_ids(output)
    failures = junit.read((tmp_path / "junit.xml").read_bytes()).failures
    assert sorted(known[name] for name in failures) == sorted(
        (
            "tests/api/test_a.py::TestHeron::test_flies",
            "tests/api/test_a.py::TestHeron::test_lands",
            "tests/api/test_a.py::test_each[[x]]",
            "tests/api/test_a.py::test_each[a - b]",
            "tests/api/test_a.py::test_each[a/b.py]",
            "tests/api/test_a.py::test_each[it's]",
            "tests/api/test_a.py::test_each[p::q]",
            "tests/test_b.py::test_other",
            "tests/test_c.py",
        )
    )


@pytest.mark.parametrize("more", [("-v",), ("-q", "--color=yes")], ids=" ".join)
def test_deselected_tests_are_told_from_none(tmp_path: Path, more: tuple[str, ...]) -> None:
    (tmp_path / "test_a.py").write_text(RED)

    assert deselected(run(tmp_path, "-k", "crane", *more)) == 8
    assert deselected(run(tmp_path, "-k", "stands", *more)) == 7
    (tmp_path / "test_a.py").write_text("")
    assert deselected(run(tmp_path, "-k", "crane", *more)) == 0


def test_what_a_test_prints_is_not_taken_for_pytests_own_words() -> None:
    output = "5 deselected\nstarted in 0.1s\nERROR: a log line of the tests\n1 passed in 0.02s\n"

    assert deselected(output) == 0


@pytest.mark.parametrize(
    ("output", "is_so"),
    [
        ("2 workers [0 items]\n\n== no tests ran in 1.33s ==\n", True),
        ("bringing up nodes...\n\nno tests ran in 1.33s\n", True),
        ("collected 0 items\n\n== no tests ran in 0.01s ==\n", False),
    ],
)
def test_workers_are_noticed_for_they_count_nothing(output: str, is_so: bool) -> None:
    assert has_workers(output) is is_so


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("The moon is full", Stop("The moon is full", "", "")),
        (
            "No test was run. The schema is stale:\n  0008 is missing!\nNext: inv db.migrate",
            Stop("No test was run. The schema is stale:", "  0008 is missing!", "inv db.migrate"),
        ),
        ("A" * 100, Stop("A" * 100, "", "")),
    ],
    ids=["a line", "with a next step", "wider than the screen"],
)
def test_who_ends_the_session_is_quoted(tmp_path: Path, message: str, found: Stop) -> None:
    (tmp_path / "test_a.py").write_text(STOPS.format(message=message))

    assert stop(run(tmp_path)) == found
    assert stop(run(tmp_path, "-q", "--color=yes", "--no-summary")) == found


def test_who_ends_it_before_it_began_is_quoted_too(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\ndef pytest_configure(): pytest.exit('The moon is full', returncode=3)\n"
    )

    assert stop(run(tmp_path)) == Stop("The moon is full", "", "")


SECTIONS = """\
3 passed in 0.1s of something else
================= unstale: the database =================
The schema is not what it was before the first test:
  gone: relation public.users
Next: migrate this one anew.
==================== unstale: schema ====================
the fixture tables is idle
unstale stopped the session: fixture tables was about to drop users. Nothing was changed.
Why: it stays behind.
Next: take the drop out.
================= 3 passed in 0.10s =================
"""


@pytest.mark.parametrize("is_quiet", [False, True])
def test_what_the_plugin_says_at_the_end_is_found(is_quiet: bool) -> None:
    output = SECTIONS.replace(
        "================= 3 passed in 0.10s =================", "3 passed in 0.10s"
    )
    found = stop(output if is_quiet else SECTIONS)

    assert found == Stop(
        "The schema is not what it was before the first test:",
        "  gone: relation public.users\n"
        "unstale stopped the session: fixture tables was about to drop users."
        " Nothing was changed.\nWhy: it stays behind.\nNext: take the drop out.",
        "migrate this one anew.",
    )


def test_notes_on_a_session_that_is_right_are_no_reason_to_stop() -> None:
    output = "=== unstale: schema ===\nthe fixture tables is idle\n=== 3 passed in 0.10s ===\n"

    assert stop(output) is None


def test_a_path_that_is_not_there_is_complained_about(tmp_path: Path) -> None:
    assert "not found: nowhere" in complaints(run(tmp_path, "nowhere"))
