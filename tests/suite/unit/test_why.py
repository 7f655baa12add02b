"""``why``: what is asked, what is refused, and how an explanation is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from invoke import Config, Context
from invoke.exceptions import Exit

from unstale import ns
from unstale.facts import CommitFact
from unstale.mask import mask_for
from unstale.pipeline.explanation import KINDS, Answer, Behind, Cause, Explanation, Place, hidden
from unstale.project import Project
from unstale.render.why import as_document, as_text

COMMIT = CommitFact(
    "05a54e1" + "0" * 33,
    "05a54e1",
    datetime(2026, 1, 2, tzinfo=UTC),
    "Mend \N{RIGHT-TO-LEFT OVERRIDE}it",
    datetime(2026, 1, 1, tzinfo=UTC),
)
COPY = Place("Dockerfile", 2, "takes in", "COPY src /app/", COMMIT)
STALE = Answer(
    "app",
    "stale",
    "built 4 h 30 before the fix 05a54e1",
    since=datetime(2026, 1, 2, tzinfo=UTC),
    behind=Behind(3, 4.5),
    causes=(
        Cause("src/a.py", "modified", (COPY,), COMMIT),
        Cause("src/b.py", "added", (COPY,), is_uncommitted=True),
        Cause("Dockerfile", "modified", (Place("Dockerfile", 3, "is another step", "RUN x"),)),
        Cause("src/c.py", "modified, masked", is_accepted=True, notes=("fine",)),
    ),
    evidence=("built 2026-01-01 00:00 UTC", ""),
    redone="a rebuild redoes 1 of 2 steps",
    next="inv image.build --service app",
)
FOUND = Explanation("image", "test", (STALE, Answer("jobs", "fresh")))


def test_an_explanation_is_a_paragraph_a_verdict() -> None:
    assert as_text(FOUND) == (
        "app: stale, built 4 h 30 before the fix 05a54e1",
        "  since 2026-01-02 00:00 UTC",
        "  Dockerfile:2 takes in: COPY src /app/",
        f"    - src/a.py: modified  [05a54e1 2026-01-01 00:00 UTC {COMMIT.subject}]",
        "    - src/b.py: added  [uncommitted]",
        "  - Dockerfile: modified",
        "      Dockerfile:3 is another step: RUN x",
        "  + src/c.py: modified, masked; fine",
        "  built 2026-01-01 00:00 UTC",
        "  a rebuild redoes 1 of 2 steps",
        "  Next: inv image.build --service app",
        "",
        "jobs: fresh",
    )


def test_of_many_causes_the_rest_is_counted_and_in_the_document() -> None:
    many = replace(STALE, causes=tuple(Cause(f"f{n}", "added") for n in range(30)))
    found = Explanation("image", "test", (many,))

    assert "  and 5 more: --json" in as_text(found)
    assert len(as_document(found)["answers"][0]["causes"]) == 30


def test_where_nothing_is_built_there_is_nothing_to_explain() -> None:
    assert as_text(Explanation("image", "test", ())) == ("There is nothing to explain.",)


def test_a_document_has_all_of_it_and_no_address_of_a_person() -> None:
    document = json.loads(json.dumps(as_document(FOUND)))

    assert (document["proof"], document["environment"]) == ("image", "test")
    answer = document["answers"][0]
    assert answer["since"] == "2026-01-02T00:00:00+00:00"
    assert (answer["commits_behind"], answer["hours_behind"]) == (3, 4.5)
    assert document["answers"][1]["commits_behind"] is None
    assert answer["rebuild"] == "a rebuild redoes 1 of 2 steps"
    first = answer["causes"][0]
    assert first["commit"] == {
        "sha": COMMIT.sha,
        "short": "05a54e1",
        "authored_at": "2026-01-01T00:00:00+00:00",
        "committed_at": "2026-01-02T00:00:00+00:00",
        "subject": COMMIT.subject,
    }
    assert first["places"][0]["file"] == "Dockerfile"
    assert (first["accepted"], answer["causes"][1]["uncommitted"]) == (False, True)


def test_what_other_people_wrote_is_masked() -> None:
    secret = "heron-of-the-marsh"
    cause = Cause(secret, secret, (Place("f", 1, "", secret),), notes=(secret,))
    answer = Answer("app", "stale", secret, causes=(cause,), evidence=(secret,), redone=secret)

    assert secret not in str(hidden([answer], mask_for({"API_TOKEN": secret})))


@pytest.mark.parametrize(
    ("verdicts", "is_known"), [(("fresh", "stale", "missing"), True), (("unknown", "stale"), False)]
)
def test_it_could_be_told_unless_a_verdict_is_unknown(
    verdicts: tuple[str, ...], is_known: bool
) -> None:
    found = Explanation("image", "test", tuple(Answer("app", one) for one in verdicts))
    assert found.is_known is is_known


# --- The task ---


@pytest.fixture
def type_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run ``why`` in an empty project."""
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run(*arguments: str, **options: Any) -> tuple[int, str]:
        try:
            ns["why"](Context(Config()), *arguments, **options)
        except Exit as end:
            return end.code, f"{end.message or ''}{capsys.readouterr().out}"
        return 0, capsys.readouterr().out

    return run


def test_a_typo_is_refused_with_the_nearest_word_before_anything_is_asked(
    type_it: Callable[..., tuple[int, str]],
) -> None:
    code, words = type_it("imgae")

    assert code == 2
    assert "There is no proof called 'imgae'." in words
    assert "Did you mean 'image'?" in words
    assert type_it("--json")[0] == 2


def test_a_schema_has_no_services(type_it: Callable[..., tuple[int, str]]) -> None:
    code, words = type_it("schema", service="app", json=True)

    document = json.loads(words.partition("{")[1] + words.partition("{")[2])
    assert (code, document["schema"]) == (2, "unstale/why@1")
    assert document["what"] == "A schema has no services."


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("verdict", "code"), [("stale", 0), ("unknown", 4)])
def test_each_proof_is_asked_by_its_own_method(
    type_it: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    verdict: str,
    code: int,
) -> None:
    asked: list[object] = []

    def answer(_: Project, *given: object) -> Explanation:
        asked.append(given[-2:])
        return Explanation(kind, "ci", (Answer("app", verdict),))

    monkeypatch.setattr(Project, f"why_{kind}", answer)
    service = None if kind == "schema" else "app"

    found, words = type_it(kind, service=service, env="ci", json=True)
    assert (found, json.loads(words)["answers"][0]["verdict"]) == (code, verdict)
    assert "ci" in asked[0]  # type: ignore[operator]
    assert f"app: {verdict}" in type_it(kind, env="ci")[1]
