"""The page of a run: all that is told is on it, and foreign text stays text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from told import AT, EVIDENCE, FIX, HEAD, HOSTILE, JUNIT, NAMES, STATE, UNSIGNED, found, green, red

from unstale.errors import ConfigError
from unstale.facts import BuildRecord, CommitFact
from unstale.image.timeline import Timeline
from unstale.pipeline.report import Report, gathered
from unstale.render import report as page

if TYPE_CHECKING:
    from conftest import FakeFiles

XHTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"
LOGS = {
    EVIDENCE / "junit.xml": JUNIT,
    EVIDENCE / "logs" / "service-app.log": "app said nothing of it",
    EVIDENCE / "logs" / "service-postgres.log": f"FATAL: out of memory\n{HOSTILE}",
    EVIDENCE / "logs" / "run_tests.log": "1 passed, 2 failed",
}


class Git:
    """A repository of two commits."""

    def commits_since(self, since: object) -> tuple[CommitFact, ...]:
        del since
        return (HEAD, FIX)

    def log(self, since: object = None, limit: int = 50) -> tuple[CommitFact, ...]:
        del since, limit
        return (HEAD, FIX)


def gather(
    document: Mapping[str, Any], files: FakeFiles, git: Any, *records: BuildRecord
) -> tuple[Report, Timeline | None]:
    return gathered(files, git, STATE, found(document), UNSIGNED, records)


@pytest.fixture
def disk(files: Callable[[Mapping[Path, str]], FakeFiles]) -> FakeFiles:
    return files({})


@pytest.fixture
def evidence(disk: FakeFiles) -> FakeFiles:
    disk.texts.update(LOGS)
    return disk


def root(text: str) -> ET.Element:
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def words(text: str) -> str:
    return "".join(root(text).itertext())


def test_a_green_run_tells_its_steps_proofs_and_receipt(evidence: FakeFiles) -> None:
    text = words(page.report(*gather(green(), evidence, Git())))

    for said in (
        "Run 1f0c2a9b in test: proven",
        "PROVEN (exit code 0)",
        "7b51437",
        "build_if_needed",
        "9.5",
        "app was stale, is fresh",
        "src/app.py  modified  read by Dockerfile:52",
        "Builds against commits",
        "the schema is that of the migrations",
        "ci and test: allowed: LOG_LEVEL",
        "DATABASE_URL, LOG_LEVEL",
        "none: it is not signed",
        "inv receipt.verify --receipt 1f0c2a9b",
        "LOG_LEVEL is set by nobody",
    ):
        assert said in text
    assert "Failing tests" not in text


def test_a_red_run_tells_what_went_wrong_with_the_words_of_whoever_fell(
    evidence: FakeFiles,
) -> None:
    shown, drawn = gather(red("plain"), evidence, Git())
    text = page.report(shown, drawn)

    assert "TESTS FAILED (exit code 1)" in words(text)
    assert "Next: inv test.run -- plain" in words(text)
    assert "assert 500 == 401" in words(text)
    # The first to fall is first, and open; the other one is folded.
    logs = [d for d in root(text).iter(f"{XHTML}details") if "named by" in "".join(d.itertext())]
    assert ["FATAL: out of memory" in "".join(d.itertext()) for d in logs] == [True]
    assert logs[0].get("open") == "open"
    assert text.index("FATAL: out of memory") < text.index("app said nothing of it")
    assert "1 passed, 2 failed" in words(text)


def test_foreign_text_stays_text(evidence: FakeFiles) -> None:
    text = page.report(*gather(red(), evidence, Git()))

    assert "<script" not in text
    assert "<img" not in text
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufffe\ud800-\udfff]", text
    )
    text.encode()
    assert "</pre></title></svg><script>alert(1)</script>&\"'<img src=x onerror=y>]]>" in words(
        text
    )


@pytest.mark.parametrize("document", [green(), red()], ids=["green", "red"])
def test_nothing_is_fetched_and_nothing_runs(
    evidence: FakeFiles, document: Mapping[str, Any]
) -> None:
    shown = root(page.report(*gather(document, evidence, Git())))

    names = {element.tag.rpartition("}")[2] for element in shown.iter()}
    assert not names & {"script", "link", "img", "iframe", "object", "use", "image", "a", "form"}
    attributes = {name for element in shown.iter() for name in element.attrib}
    assert not {a for a in attributes if a.startswith("on") or a in ("src", "href", "style")}
    (style,) = shown.iter(f"{XHTML}style")
    assert not re.search(r"url\(|@import|https?:", style.text or "")
    policy = [m.get("content") for m in shown.iter(f"{XHTML}meta") if m.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_each_step_is_a_bar_where_it_was_in_the_run(evidence: FakeFiles) -> None:
    shown = root(page.report(*gather(green(), evidence, Git())))

    bars = [
        (float(rect.get("x") or 0), float(rect.get("width") or 0))
        for row in shown.iter(f"{XHTML}tr")
        for rect in row.iter(f"{SVG}rect")
    ]
    whole = 0.4 + 9.5 + 4.2 + 0.7
    assert bars[1] == (
        pytest.approx(1000 * 0.4 / whole, abs=0.1),
        pytest.approx(1000 * 9.5 / whole, abs=0.1),
    )
    assert bars[2][1] == 2.0  # no time at all, and seen
    assert all(x + width <= 1000.1 for x, width in bars)
    kinds = [
        row.get("class")
        for row in shown.iter(f"{XHTML}tr")
        if row.find(f".//{SVG}rect") is not None
    ]
    assert kinds == ["done", "done", "idle", "done", "done"]


def test_builds_are_drawn_as_the_ledger_has_them(evidence: FakeFiles) -> None:
    old = BuildRecord("app", f"sha256:{'0123456789abcdef' * 4}", "", "", dirty=False, built_at=AT)
    late = CommitFact("f" * 40, "fffffff", AT.replace(year=2027), "Later than the run")

    class Later(Git):
        def commits_since(self, since: object) -> tuple[CommitFact, ...]:
            return (late, *super().commits_since(since))

    _, plain = gather(green(), evidence, Later())
    _, drawn = gather(green(), evidence, Later(), old)

    assert plain is not None
    assert drawn is not None
    assert late not in plain.commits
    assert plain.head == HEAD
    (lane,) = plain.lanes
    assert [build.is_current for build in lane.builds] == [False, True]
    assert [build.time.at for build in drawn.lanes[0].builds] == [AT, AT]


def test_a_run_without_images_or_git_has_no_drawing(evidence: FakeFiles, ports: Any) -> None:
    document = green()
    document["predicate"]["annotations"]["verdicts"] = {"before": [], "after": []}

    shown, drawn = gather(document, evidence, ports.git)

    assert drawn is None
    assert "Not asked." in words(page.report(shown, drawn))


@pytest.mark.parametrize(
    ("junit", "why"),
    [
        (None, "its JUnit file is not here"),
        ("<cut", "its JUnit file can't be read"),
        (JUNIT.replace("test_refused", "test_else"), "is of another run, or was changed"),
    ],
)
def test_without_their_own_words_failures_are_names(
    evidence: FakeFiles, junit: str | None, why: str
) -> None:
    del evidence.texts[EVIDENCE / "junit.xml"]
    if junit is not None:
        evidence.texts[EVIDENCE / "junit.xml"] = junit

    shown, drawn = gather(red(), evidence, Git())

    assert [case.name for case in shown.failures] == list(NAMES)
    assert why in words(page.report(shown, drawn))


def test_what_is_long_is_cut_and_said_to_be(evidence: FakeFiles) -> None:
    evidence.texts[EVIDENCE / "logs" / "service-app.log"] = "x" * 100 + "\n" + "line\n" * 100_000
    shown, drawn = gather(red(), evidence, Git())
    many = replace(shown.failures[0], text="y" * 50_000 + "the end")
    text = page.report(replace(shown, failures=(many,) * 500), drawn)

    assert len(text) < 500_000
    assert "The first 44007 characters are left out." in text
    assert "... and 450 more." in text
    app = next(one for one in shown.services if one.name == "app")
    assert app.is_cut
    assert app.text.count("\n") < 200


def test_a_receipt_of_an_earlier_version_makes_a_report(disk: FakeFiles) -> None:
    document = green()
    told = document["predicate"]["annotations"]
    for key in ("run", "errors", "verdicts", "variables", "parity", "unreached", "remarks"):
        del told[key]

    shown, drawn = gather(document, disk, Git())

    assert shown.run == "1f0c2a9b"
    assert "Not compared." in words(page.report(shown, drawn))


@pytest.mark.parametrize("run", ["../../etc", "/etc", "a" * 33, "A B"])
def test_a_run_leads_out_of_no_folder(disk: FakeFiles, run: str) -> None:
    document = green()
    document["predicate"]["annotations"]["run"] = run

    shown, _ = gather(document, disk, Git())

    assert shown.folder == STATE / "runs" / "unknown"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("errors", {"a": 1}),
        ("verdicts", {"after": [{"service": 1}]}),
        ("verdicts", {"after": [{"verdict": "stale", "method": "guess"}]}),
        ("variables", {"app": "DATABASE_URL"}),
        ("parity", "yes"),
        ("fallen", ["postgres"]),
    ],
)
def test_annotations_of_another_shape_are_refused(disk: FakeFiles, key: str, value: Any) -> None:
    document = green()
    document["predicate"]["annotations"][key] = value

    with pytest.raises(ConfigError, match="no receipt that a report can be made of"):
        gather(document, disk, Git())


def test_both_colour_schemes_are_styled(evidence: FakeFiles) -> None:
    text = page.report(*gather(green(), evidence, Git()))

    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media (max-width: 45rem)" in text


def test_the_page_of_a_run_is_small(evidence: FakeFiles) -> None:
    assert len(page.report(*gather(green(), evidence, Git()))) < 30_000
