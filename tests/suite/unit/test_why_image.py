"""Why an image is fresh, stale or neither: file, line, commit and what a rebuild does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from checkout import member
from workshop import TEXT, Workshop

from unstale.facts import BuildRecord, CommitFact
from unstale.image.explain import background
from unstale.mask import Mask
from unstale.pipeline import shelf
from unstale.pipeline.explanation import Answer, Behind, Place, blamed, hidden
from unstale.pipeline.images import statuses
from unstale.pipeline.receipt import PREDICATE, STATEMENT
from unstale.pipeline.why_image import explain

if TYPE_CHECKING:
    from unstale.ports import Git

BUILT = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIX = CommitFact(
    "05a54e1" + "0" * 33,
    "05a54e1",
    BUILT + timedelta(hours=4, minutes=30),
    "Mend the override",
    BUILT + timedelta(hours=4),
)


class Log:
    """A git whose last commit touched every path but the *uncommitted* ones."""

    def __init__(self, base: Git, *uncommitted: Path) -> None:
        self._base = base
        self._uncommitted = frozenset(uncommitted)
        self.asked: list[tuple[Path, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)

    def head(self) -> CommitFact:
        return FIX

    def log(self, since: datetime | None = None, limit: int = 50) -> tuple[CommitFact, ...]:
        del since, limit
        return (FIX,)

    def commits_since(self, since: object) -> tuple[CommitFact, ...]:
        del since
        return (FIX,)

    def last_commits(self, paths: Sequence[Path]) -> Mapping[Path, CommitFact]:
        return {path: FIX for path in paths if path not in self._uncommitted}

    def uncommitted(self, paths: Sequence[Path]) -> frozenset[Path]:
        return self._uncommitted & frozenset(paths)

    def blamed(self, places: Sequence[tuple[Path, int]]) -> Mapping[Any, CommitFact | None]:
        self.asked += places
        return {place: FIX if place[1] == 2 else None for place in places}


def why(shop: Workshop, *, receipts: bool = False) -> Answer:
    bench = shop.bench
    found = statuses(bench)
    known = background(bench.ports.git, bench.site.settings.root, found, bench.records())
    kept = shelf.newest(shop.files, bench.site.state_folder / "receipts") if receipts else ()
    return explain(bench, found, known, kept, " --env ci")[0]


def dated(shop: Workshop, *uncommitted: Path) -> Log:
    """Give the image a time and the checkout a history."""
    old = shop.image()
    shop.docker.local_images.remove(old)
    shop.docker.local_images.append(replace(old, created=BUILT))
    for path in [p for p in shop.files.texts if p.suffix == ".jsonl"]:
        del shop.files.texts[path]
    git = Log(shop.ports.git, *uncommitted)
    shop.ports = replace(shop.ports, git=git)  # type: ignore[arg-type]
    return git


def test_a_stale_image_is_explained_by_file_line_commit_and_age(shop: Workshop) -> None:
    shop.build()
    shop.checkout.write({"src/app.py": "v2"})
    git = dated(shop)
    found = why(shop)

    (cause,) = found.causes
    assert (found.verdict, found.since) == ("stale", FIX.committed_at)
    assert found.behind == Behind(1, 4.5)
    assert (cause.what, cause.how, cause.commit) == ("src/app.py", "modified", FIX)
    assert cause.places == (Place("Dockerfile", 2, "takes in", "COPY src /app/"),)
    assert found.redone == "a rebuild redoes at most 1 of 1 steps, from line 2 (COPY src /app/) on"
    assert found.next == "inv image.build --service app --env ci"
    assert "stamp: the digest of its inputs is another one than the tree's" in found.evidence

    (told,) = blamed(git, shop.checkout.root, [found])  # type: ignore[arg-type]
    assert told.causes[0].places[0].commit == FIX
    assert git.asked == [(shop.checkout.root / "Dockerfile", 2)]


def test_commits_are_counted_from_the_build_and_not_from_older_layers(shop: Workshop) -> None:
    shop.build()
    shop.checkout.write({"src/app.py": "v2"})
    dated(shop)
    record = BuildRecord(
        "app", shop.image().id, "", "", None, FIX.committed_at + timedelta(hours=1)
    )
    bench = shop.bench
    known = background(bench.ports.git, shop.checkout.root, statuses(bench), [record])
    (found,) = explain(bench, statuses(bench), known, ())

    assert found.behind == Behind(0, 0.0)


def test_what_no_commit_has_is_uncommitted_and_since_nobody_knows_when(shop: Workshop) -> None:
    shop.build()
    shop.checkout.write({"src/new.py": ""})
    dated(shop, shop.checkout.root / "src/new.py")
    found = why(shop)

    (cause,) = found.causes
    assert (cause.what, cause.how, cause.commit) == ("src/new.py", "added", None)
    assert cause.is_uncommitted
    assert found.since is None


def test_another_step_is_shown_as_its_line(shop: Workshop) -> None:
    shop.build()
    shop.checkout.write({"Dockerfile": TEXT + "RUN make\n"})
    found = why(shop)

    assert found.causes[0].places == (Place("Dockerfile", 3, "is another step", "RUN make"),)
    assert found.redone == "a rebuild redoes at most 1 of 2 steps, from line 3 (RUN make) on"


def test_an_image_below_that_is_old_is_named_and_all_is_redone(shop: Workshop) -> None:
    shop.checkout.write({"lib/x": "1"})
    shop.services = {
        "app": {"dockerfile_inline": "FROM demo-root\nCOPY src /app/\n"},
        "root": {"dockerfile_inline": "FROM base\nCOPY lib /lib/\nRUN x\n"},
    }
    shop.held = [[member("/lib/x", "1")]]
    shop.build()
    shop.checkout.write({"lib/x": "2"})
    found = why(shop)

    assert found.causes[0].what == "base:root"
    assert found.causes[0].how.startswith("another image has that name")
    assert found.redone == "a rebuild redoes at most 1 of 1 steps, from line 2 (COPY src /app/) on"


def test_a_fresh_image_is_explained_by_its_evidence(shop: Workshop) -> None:
    shop.build()
    found = why(shop)

    assert (found.verdict, found.causes, found.redone, found.next) == ("fresh", (), "", "")
    assert found.evidence[1:] == (
        "stamp: the digest of its inputs is that of the tree",
        "bytes: 1 copied files were compared with the tree",
        "receipt: none yet, no run has passed on it",
    )


@pytest.mark.parametrize(
    ("changes", "is_cited"),
    [({}, True), ({"result": "FAILED"}, False), ({"image": "sha256:0"}, False)],
    ids=["the same", "red", "another image"],
)
def test_the_receipt_that_proved_it_is_named(
    shop: Workshop, changes: dict[str, str], is_cited: bool
) -> None:
    shop.build()
    bench = shop.bench
    (status,) = statuses(bench)
    image = changes.get("image", status.image_id or "").removeprefix("sha256:")
    body = {
        "_type": STATEMENT,
        "predicateType": PREDICATE,
        "subject": [{"name": "app", "digest": {"sha256": image.rjust(64, "0")}}],
        "predicate": {
            "result": changes.get("result", "PASSED"),
            "configuration": [{"name": "inputs of app", "digest": {"unstale": status.inputs}}],
            "passedTests": ["a", "b"],
            "failedTests": [],
            "annotations": {
                "outcome": "proven",
                "started": "2026-01-01T00:00:00Z",
                "environment": "test",
                "revision": None,
                "dirty": None,
                "skipped": 0,
                "schema": None,
                "steps": [],
            },
        },
    }
    shop.files.texts[bench.site.state_folder / "receipts" / "1-a.json"] = json.dumps(body)
    # The fake's ids are short; a receipt takes whole ones alone.
    old = shop.image()
    shop.docker.local_images.remove(old)
    whole = f"sha256:{old.id.removeprefix('sha256:').rjust(64, '0')}"
    shop.docker.local_images.append(replace(old, id=whole))
    shop.docker.archives[whole] = shop.docker.archives[old.id]
    found = why(shop, receipts=True)

    assert ("receipt: 1-a.json, 2 tests passed on it" in found.evidence) is is_cited
    assert ("receipt: none yet, no run has passed on it" in found.evidence) is not is_cited


def test_a_missing_image_has_no_evidence(shop: Workshop) -> None:
    found = why(shop)

    assert (found.verdict, found.summary, found.evidence) == (
        "missing",
        "there is no image demo-app",
        (),
    )
    assert (found.behind, found.redone) == (None, "")


def test_what_can_not_be_told_says_why(shop: Workshop) -> None:
    shop.build()
    old = shop.image()
    shop.docker.local_images.remove(old)
    shop.docker.local_images.append(replace(old, labels={}))
    found = why(shop)

    assert found.verdict == "unknown"
    assert "build it with inv image.build" in found.summary


def test_of_a_dockerfile_that_can_not_be_followed_nothing_is_claimed(shop: Workshop) -> None:
    shop.build()
    shop.checkout.write({"Dockerfile": "# syntax=example.com/other\nFROM base\n"})

    assert "can't be followed" in why(shop).redone


def test_a_changed_argument_has_no_line(shop: Workshop) -> None:
    text = "FROM base\nARG TOKEN_OF_IT\nRUN x\nCOPY src /app/\n"
    shop.services = {"app": {"dockerfile_inline": text, "args": {"TOKEN_OF_IT": "one"}}}
    shop.build()
    shop.services["app"]["args"] = {"TOKEN_OF_IT": "two"}
    found = why(shop)

    assert found.causes[0].what == "build arguments"
    assert found.redone == "which steps a rebuild redoes is not known: a value has no line"


@pytest.mark.parametrize(
    "line", ["RUN login --token=heron-of-the-marsh", "ENV API_TOKEN=heron-of-the-marsh"]
)
def test_a_line_of_a_dockerfile_tells_no_secret(shop: Workshop, line: str) -> None:
    shop.build()
    shop.checkout.write({"Dockerfile": f"{TEXT}{line}\nRUN x\n"})
    (told,) = hidden([why(shop)], Mask())

    assert "heron" not in str(told)
    assert "line 4 (RUN x)" in told.redone or "line 3 (RUN ...)" in told.redone
