"""What a CI system is told, and that nobody else tells it anything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from told import HOSTILE, JUNIT, NAMES, STATE, UNSIGNED, found, green, red

from unstale.config import CiSystem, ci_system
from unstale.errors import Outcome
from unstale.mask import Mask
from unstale.pipeline.junit import Case
from unstale.pipeline.report import Excerpt, Report, gathered
from unstale.pipeline.site import StepResult
from unstale.printable import printable
from unstale.render import document
from unstale.render.annotations import of_run
from unstale.render.ci import Folded
from unstale.render.progress import NEVER_STREAMED, ConsoleProgress, View
from unstale.render.summary import MOST_BYTES, summary


class Nothing:
    """Neither a file nor a commit."""

    def __init__(self, junit: str = "") -> None:
        self.junit = junit.encode()

    def end_of(self, path: Path, most: int) -> tuple[bytes, int] | None:
        del most
        return (self.junit, len(self.junit)) if path.name == "junit.xml" else None

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: ()


def told(shown: dict[str, Any], junit: str = JUNIT) -> Report:
    files: Any = Nothing(junit)
    return gathered(files, files, STATE, found(shown), UNSIGNED, ())[0]


# Which system


@pytest.mark.parametrize(
    ("environ", "system"),
    [
        ({}, ""),
        ({"CI": "true"}, ""),
        ({"GITHUB_ACTIONS": "true"}, "github"),
        ({"GITLAB_CI": "true"}, "gitlab"),
        ({"GITHUB_ACTIONS": "false"}, ""),
        ({"GITHUB_ACTIONS": "true", "UNSTALE_CI": "0"}, ""),
        ({"GITHUB_ACTIONS": "true", "UNSTALE_CI": "no"}, ""),
        ({"UNSTALE_CI": "gitlab"}, "gitlab"),
        ({"GITHUB_ACTIONS": "true", "UNSTALE_CI": "1"}, "github"),
    ],
)
def test_a_system_says_who_it_is_and_a_user_says_no(
    environ: dict[str, str], system: CiSystem
) -> None:
    assert ci_system(environ) == system


# Folds


@pytest.fixture
def folded(tmp_path: Path) -> Callable[..., Folded]:
    def make(system: CiSystem, *, verbose: bool = True) -> Folded:
        inner = ConsoleProgress(
            Mask(), tmp_path, append=lambda *_: None, view=View(verbose=verbose)
        )
        return Folded(
            inner, system, lambda step: step not in NEVER_STREAMED, run="r1", now=lambda: 12.9
        )

    return make


def _walk(watch: Folded) -> None:
    for step, lines in (("sweep", ()), ("up", ("one", "::error::planted")), ("migrate", ("two",))):
        watch.begin(step)
        line = watch.log(step)
        for text in lines:
            line(text)
        watch.end(StepResult(step, Outcome.PROVEN, 1.0, "done"))


def test_github_folds_what_a_step_prints_and_not_how_it_went(
    folded: Callable[..., Folded], capsys: pytest.CaptureFixture[str]
) -> None:
    _walk(folded("github"))

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "  ✓ sweep                 1.0 s  done",
        "::group::up-r1",
        "    one",
        "    \\::error::planted",
        "::endgroup::",
        "  ✓ up                    1.0 s  done",
        "  ✓ migrate               1.0 s  done",
    ]


def test_gitlab_folds_by_sections_with_a_name_and_a_time(
    folded: Callable[..., Folded], capsys: pytest.CaptureFixture[str]
) -> None:
    _walk(folded("gitlab"))

    lines = capsys.readouterr().err.split("\n")
    assert lines[1] == "\x1b[0Ksection_start:12:up-r1[collapsed=true]\r\x1b[0Kup-r1"
    assert lines[4] == "\x1b[0Ksection_end:12:up-r1\r\x1b[0K"


# Annotations


def test_what_went_wrong_is_first_and_a_failing_test_is_at_its_line() -> None:
    errors = of_run(told(red("plain")), lambda path: path == "tests/api/test_login.py")

    assert errors[0].startswith("::error title=unstale%3A tests failed::2 of 3 tests failed.%0A")
    assert errors[0].endswith("%0ANext: inv test.run -- plain")
    assert errors[2] == (
        "::error file=tests/api/test_login.py,line=42,"
        f"title={NAMES[0].replace(':', '%3A')}::assert 500 == 401"
    )
    assert errors[3].startswith("::error title=tests.api.test_x%3A%3A")
    assert errors[4] == "::warning title=unstale::plain"


@pytest.mark.parametrize("path", ["/etc/passwd.py", "../other/a.py", "none.py"])
def test_a_line_elsewhere_is_none_of_the_project(path: str) -> None:
    case = Case("a::b", "failed", "no", f"{path}:3: AssertionError")

    (error,) = of_run(
        replace(told(red()), errors=(), failures=(case,), remarks=()), lambda p: p != "none.py"
    )

    assert "file=" not in error


def test_at_most_ten_are_shown_and_the_tenth_counts_the_rest() -> None:
    many = tuple(Case(f"a::b{n}", "failed", "no") for n in range(50))

    found = of_run(replace(told(red()), failures=many, remarks=()), lambda _: False)

    assert len(found) == 10
    assert found[-1] == "::error title=unstale::43 more are in the run's report."


def test_no_annotation_has_another_one_in_it() -> None:
    for line in of_run(told(red()), lambda _: True):
        assert "\n" not in line
        assert "\x1b" not in line
        assert len(re.findall(r"^::", line)) == 1
        # What is not of ours is behind the first :: that ends its head.
        assert re.match(r"::(error|warning) [^:]*::", line)


# The summary


class Markup(HTMLParser):
    """The tags of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.opened.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


def markup(text: str) -> Markup:
    found = Markup()
    found.feed(text)
    found.close()
    return found


def test_a_summary_has_the_verdict_the_steps_and_the_failures() -> None:
    text = summary(told(red("plain")), MOST_BYTES)

    assert text.startswith("### ❌ tests failed in test (exit code 1)\n")
    assert "| run&#95;tests | 4.2 | ❌ tests failed: 2 of 3 tests failed. |" in text
    assert "assert 500 == 401" in text
    assert "Next: <code>inv test.run -- plain</code>" in text


def test_foreign_text_is_no_markup_in_it() -> None:
    text = summary(told(red(f"{HOSTILE} `a` | [x](http://a.example) @everyone **b**")), MOST_BYTES)

    found = markup(text)
    assert found.seen <= {"details", "summary", "pre", "code"}
    assert found.opened == []
    plain = re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
    assert not re.search(r"\]\(|@everyone|`a`|\*\*b", plain)
    for row in (line for line in plain.splitlines() if line.startswith("|")):
        assert row.count("|") in (3, 4)
    assert printable(text) == text


def test_what_does_not_fit_is_left_out_whole_and_counted() -> None:
    logs = tuple(Excerpt(f"postgres{n}", "x" * 90_000, is_cut=False) for n in range(20))
    shown = replace(
        told(red("plain")), services=logs, fallen=tuple((one.name, "fell") for one in logs)
    )

    text = summary(shown, MOST_BYTES)

    assert len(text.encode()) <= MOST_BYTES
    assert markup(text).opened == []
    assert re.search(r"\n1\d more parts do not fit into the summary of a step", text)


@pytest.mark.parametrize("room", [-1, 0, 10, 100, 500, 1000, 2000, 3000])
def test_no_summary_is_longer_than_its_room(room: int) -> None:
    assert len(summary(told(green()), room).encode()) <= max(room, 0)


# Documents


def test_a_document_gives_no_orders_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    words = "##[error]a ##vso[task.complete]\n::error::b"

    document.write("db-migrate-sql", {"sql": words})

    out, _ = capsys.readouterr()
    assert printable(out) == out
    assert json.loads(out) == {"schema": "unstale/db-migrate-sql@1", "sql": words}
