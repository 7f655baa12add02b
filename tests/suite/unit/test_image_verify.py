"""Is the fix in the image? Files that an image holds, compared and searched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from checkout import Checkout, member

from unstale.errors import UsageError
from unstale.facts import ArchiveMember
from unstale.image.proof import Proof
from unstale.image.verify import Match, Search, VerifyResult, verify
from unstale.ports import Command, CommandResult
from unstale.verdict import Fresh, Stale, Unknown

if TYPE_CHECKING:
    from conftest import FakeDocker, FakeProcess

APP = PurePosixPath("/app/src/app.py")
SAME = (member(str(APP), "one\ntwo\n"),)
OLD = (member(str(APP), "one\nTWO\n"),)
ONE_COPY = "FROM scratch\nWORKDIR /app\nCOPY src ./src\n"


class Looking:
    """Looks into an image for what a checkout copies there."""

    def __init__(self, checkout: Checkout, docker: FakeDocker, process: FakeProcess) -> None:
        self.checkout = checkout
        self.docker = docker
        self.process = process
        self.text = ONE_COPY

    def __call__(
        self,
        held: Iterable[ArchiveMember],
        *,
        path: str | None = None,
        search: Search | None = None,
        known: Proof | None = None,
    ) -> VerifyResult:
        self.docker.archives["sha256:1"] = list(held)
        return verify(
            self.docker,
            self.process,
            "sha256:1",
            "app",
            self.checkout.inputs(self.text),
            path=None if path is None else PurePosixPath(path),
            search=search,
            known=known,
        )


@pytest.fixture
def look(checkout: Checkout, docker: FakeDocker, process: FakeProcess) -> Looking:
    checkout.write({"src/app.py": "one\ntwo\n"})
    return Looking(checkout, docker, process)


def test_equal_bytes_are_fresh(look: Looking) -> None:
    found = look(SAME)

    assert (found.verdict, found.compared, found.finding) == (Fresh(), 1, "")


def test_the_fix_is_found_with_its_line(look: Looking) -> None:
    found = look(SAME, search=Search("two"))

    assert (found.verdict, found.matches, found.compared) == (Fresh(), (Match(APP, 2),), 1)


def test_a_text_is_no_regular_expression(look: Looking) -> None:
    found = look(SAME, search=Search("t.o"))

    assert isinstance(found.verdict, Stale)
    assert found.finding == "pattern not found: 't.o' is nowhere in the copied files"


def test_a_match_in_a_file_that_the_image_has_from_elsewhere_is_none(look: Looking) -> None:
    found = look((*SAME, member("/app/src/cache.txt", "three")), search=Search("three"))

    assert found.finding.startswith("pattern not found")


def test_a_path_that_is_not_there_is_said(look: Looking) -> None:
    found = look(SAME, path="/nowhere", search=Search("two"))

    assert isinstance(found.verdict, Stale)
    assert found.finding == "path absent: the image has no /nowhere"


def test_bytes_that_differ_are_said_even_if_the_pattern_is_found(look: Looking) -> None:
    found = look(OLD, search=Search("one"))

    assert isinstance(found.verdict, Stale)
    assert found.finding == "bytes differ: 1 of 1 copied files; the pattern was found 1 times"
    assert [one.path for one in found.differences] == [APP]
    assert found.matches == (Match(APP, 1),)


def test_nothing_compared_and_nothing_asked_is_unknown(look: Looking) -> None:
    look.text = "FROM scratch\nADD src/app.py /app/\n"

    assert isinstance(look(()).verdict, Unknown)


def test_a_file_that_only_the_image_has_can_be_searched(look: Looking) -> None:
    found = look([member("/etc/made", "two")], path="/etc/made", search=Search("two"))

    assert (found.verdict, found.compared) == (Fresh(), 0)


def test_only_files_at_or_below_the_path_are_compared(look: Looking) -> None:
    look.checkout.write({"src/other.py": "x"})

    assert look(SAME, path="/app/src/app.py").verdict == Fresh()
    assert look(SAME, path="/app").finding == "bytes differ: 1 of 2 copied files"


def test_binary_files_and_links_are_not_searched(look: Looking) -> None:
    binary = member("/d/b", b"\0two")
    link = ArchiveMember(PurePosixPath("/d/l"), 0o777, "two", b"two")

    assert not look([binary, link], path="/d", search=Search("two")).matches


def test_lines_that_grep_numbers_are_traced_to_their_files(look: Looking) -> None:
    result = CommandResult(0, "2:two\n4:last\n", "", 0.0)
    look.process.on_run = lambda _: result

    found = look(
        [*SAME, member("/app/src/b.py", "x\nlast")],
        path="/app",
        search=Search("t$", is_regex=True),
    )

    assert found.matches == (Match(APP, 2), Match(PurePosixPath("/app/src/b.py"), 2))
    assert look.process.commands[0].stdin == b"one\ntwo\nx\nlast\n"


def test_an_empty_or_bad_pattern_is_a_usage_error(look: Looking) -> None:
    def refuse(_command: Command) -> CommandResult:
        return CommandResult(2, "", "grep: Unmatched ( or \\(", 0.0)

    look.process.on_run = refuse

    with pytest.raises(UsageError, match="empty"):
        look(SAME, search=Search(""))
    with pytest.raises(UsageError, match="Unmatched"):
        look(SAME, search=Search("(", is_regex=True))


# --- With a proof ---

PROOF = Proof("sha256:1", "v1:sha256:ab", compared=7)


def test_a_proof_is_cited_and_nothing_is_read(look: Looking) -> None:
    found = look(OLD, known=PROOF)

    assert (found.verdict, found.compared, found.is_cited) == (Fresh(), 7, True)
    assert look.docker.looked == []


def test_a_path_is_looked_at_in_spite_of_a_proof(look: Looking) -> None:
    found = look(OLD, path="/app", known=PROOF)

    assert (found.is_cited, found.compared) == (False, 1)
    assert isinstance(found.verdict, Stale)


def test_what_a_run_is_known_to_rewrite_is_no_finding(look: Looking) -> None:
    known = Proof("sha256:1", "v1:sha256:ab", compared=1, rewritten=(str(APP),))

    assert look(OLD, path="/app", known=known).verdict == Fresh()
