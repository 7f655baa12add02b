"""What is kept of the past: real files, since it is them that go."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from checkout import image_fact
from workshop import Workshop

from unstale.adapters.files import DiskFiles
from unstale.errors import TimedOut, Unavailable
from unstale.image.check import LABEL_INPUTS
from unstale.image.transfer import Sent, next_send
from unstale.pipeline import retention
from unstale.pipeline.receipt import PREDICATE, STATEMENT
from unstale.stack.lifecycle import PROJECT

FILES = DiskFiles()


class State:
    """A state folder with runs, the oldest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: set[str] = set()
        self._count = 0

    def run(self, result: str | None = "PASSED", env: str = "test", *, sign: bool = False) -> str:
        """A run with evidence, and a receipt unless *result* is None."""
        self._count += 1
        run = f"{self._count:08x}"
        evidence = self.folder / "runs" / run / "logs" / "up.log"
        evidence.parent.mkdir(parents=True)
        evidence.write_text("up")
        os.utime(self.folder / "runs" / run, (self._count, self._count))
        if result is not None:
            stem = f"202601{self._count:02}T000000Z-{run}"
            self._receipt(stem, result, env)
            if sign:
                (self.folder / "receipts" / f"{stem}.dsse.json").write_text("{}")
        return run

    def _receipt(self, stem: str, result: str, env: str) -> None:
        document: dict[str, Any] = {
            "_type": STATEMENT,
            "subject": [],
            "predicateType": PREDICATE,
            "predicate": {
                "result": result,
                "configuration": [],
                "passedTests": [],
                "failedTests": [],
                "annotations": {
                    **dict.fromkeys(("outcome", "started"), stem),
                    "environment": env,
                    "revision": None,
                    "dirty": None,
                    "schema": None,
                    "skipped": 0,
                    "steps": [],
                },
            },
        }
        folder = self.folder / "receipts"
        folder.mkdir(exist_ok=True)
        for name in (stem, "latest"):
            (folder / f"{name}.json").write_text(json.dumps(document))

    def tidy(self, keep: int) -> None:
        retention.after_run(FILES, self.folder, keep, self.held.__contains__)

    @property
    def runs(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "runs").iterdir())

    @property
    def receipts(self) -> list[str]:
        names = (p.name for p in (self.folder / "receipts").iterdir())
        return sorted(name for name in names if name != "latest.json")


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / ".unstale")


def test_the_newest_receipts_stay_with_their_evidence(state: State) -> None:
    runs = [state.run(sign=True) for _ in range(5)]

    state.tidy(keep=2)

    assert state.runs == runs[-2:]
    assert state.receipts == [
        f"202601{day:02}T000000Z-{run}.{end}"
        for day, run in ((4, runs[3]), (5, runs[4]))
        for end in ("dsse.json", "json")
    ]
    assert (state.folder / "receipts/latest.json").exists()


def test_the_newest_that_passed_in_each_environment_stays(state: State) -> None:
    state.run("PASSED", "ci")
    ci = state.run("PASSED", "ci")
    test = state.run("PASSED", "test")
    red = [state.run("FAILED", "ci") for _ in range(3)]

    state.tidy(keep=2)

    assert state.runs == [ci, test, *red[1:]]


def test_what_the_latest_is_a_copy_of_stays(state: State) -> None:
    first = state.run("FAILED")
    copy = (state.folder / "receipts/latest.json").read_text()
    rest = [state.run("FAILED") for _ in range(2)]
    (state.folder / "receipts/latest.json").write_text(copy)

    state.tidy(keep=1)

    assert state.runs == [first, rest[-1]]


def test_a_run_that_goes_on_or_is_kept_loses_nothing(state: State) -> None:
    kept, going = state.run("FAILED"), state.run(None)
    others = [state.run("FAILED"), state.run(None), state.run("FAILED"), state.run(None)]
    state.held = {kept, going}

    state.tidy(keep=1)

    assert state.runs == [kept, going, *others[2:]]
    assert state.receipts[0].endswith(f"{kept}.json")


def test_of_dead_runs_without_a_receipt_the_newest_stay(state: State) -> None:
    dead = [state.run(None) for _ in range(4)]

    state.tidy(keep=3)

    assert state.runs == dead[1:]


def test_what_is_no_run_of_ours_stays(state: State) -> None:
    for name in ("standing-1a2b3c4d-test", "notes", "0000000", "ABCDEF01"):
        (state.folder / "runs" / name).mkdir(parents=True)
    state.run()
    state.run()

    state.tidy(keep=1)

    assert len(state.runs) == 5


def test_a_receipt_that_nobody_can_read_goes_like_another(state: State) -> None:
    state.run()
    (state.folder / "receipts/20250101T000000Z-x.json").write_text('{"predicate": 1}')
    runs = [state.run() for _ in range(2)]

    state.tidy(keep=1)

    assert state.runs == [runs[-1]]
    assert len(state.receipts) == 1


def test_caches_are_not_more_than_fifty(state: State) -> None:
    (state.folder / "stat").mkdir(parents=True)
    for number in range(60):
        path = state.folder / "stat" / f"{number}.cache"
        path.touch()
        os.utime(path, (number, number))

    state.tidy(keep=1)

    left = {path.name for path in (state.folder / "stat").iterdir()}
    assert left == {f"{number}.cache" for number in range(10, 60)}


def test_two_at_once_do_not_both_tidy(state: State) -> None:
    runs = [state.run() for _ in range(3)]

    with FILES.locked(state.folder / "retention.lock"), pytest.raises(TimedOut):
        state.tidy(keep=1)

    assert state.runs == runs


@pytest.mark.parametrize("name", ["runs", "receipts", "stat"])
def test_a_link_in_a_checkout_leads_no_removal_out_of_it(
    state: State, tmp_path: Path, name: str
) -> None:
    for _ in range(3):
        state.run()
    there = tmp_path / "precious"
    (state.folder / "stat").mkdir()
    (state.folder / name).rename(there)
    (there / "deadbeef").mkdir()
    (there / "deadbeef" / "file").touch()
    before = sorted(there.rglob("*"))
    (state.folder / name).symlink_to(there)

    with suppress(Unavailable):
        state.tidy(keep=1)

    assert sorted(there.rglob("*")) == before


def test_a_link_in_the_place_of_evidence_is_not_followed(state: State, tmp_path: Path) -> None:
    runs = [state.run() for _ in range(2)]
    there = tmp_path / "precious"
    (state.folder / "runs" / runs[0]).rename(there)
    (state.folder / "runs" / runs[0]).symlink_to(there)

    with pytest.raises(Unavailable):
        state.tidy(keep=1)

    assert (there / "logs" / "up.log").exists()


# Images


def _image(name: str, day: int, service: str = "app", **changes: Any) -> Any:
    labels = {LABEL_INPUTS: "v1:sha256:aa", "com.docker.compose.service": service}
    fact = image_fact(image_id=f"sha256:{name}", labels=labels)
    return replace(fact, **{"tags": (), "created": datetime(2026, 1, day, tzinfo=UTC), **changes})


def test_the_newest_nameless_images_of_each_service_stay() -> None:
    images = [
        *(_image(f"a{day}", day) for day in (1, 4, 2, 3)),
        *(_image(f"b{day}", day, "jobs") for day in (1, 2)),
        _image("named", 1, tags=("demo:latest",)),
        _image("foreign", 1, labels={}),
        _image("ageless", 1, created=None),
    ]

    assert retention.old_images(images, 3) == ("sha256:a1", "sha256:ageless")
    assert retention.old_images(images, 9) == ()
    assert len(retention.old_images(images, 0)) == 7


# After a build


def _lines(count: int) -> str:
    return "".join(f'{{"line": {number}}}\n' for number in range(count))


@pytest.mark.parametrize(("before", "after"), [(999, 1000), (1000, 500)])
def test_a_ledger_grows_to_a_thousand_lines(shop: Workshop, before: int, after: int) -> None:
    path = shop.bench.ledger_path
    shop.files.texts[path] = _lines(before)

    shop.build()

    lines = shop.files.texts[path].splitlines()
    assert len(lines) == after
    assert '"service": "app"' in lines[-1]


@pytest.mark.parametrize(
    ("folder", "project", "stays"),
    [("proofs", "another", True), ("manifests", "another", False), ("manifests", "", True)],
)
def test_proofs_and_manifests_of_images_that_are_gone_go(
    shop: Workshop, folder: str, project: str, stays: bool
) -> None:
    site = shop.bench.site
    old = [site.state_folder / folder / f"{number:064x}.json" for number in range(60)]
    shop.files.texts |= dict.fromkeys(old, "{}")
    labels = {LABEL_INPUTS: f"v1:sha256:{old[0].stem}", PROJECT: project or site.target.project}
    shop.docker.local_images.append(image_fact(image_id=f"sha256:{old[0].stem}", labels=labels))

    shop.build()

    left = {path for path in shop.files.texts if path.parent == old[0].parent}
    assert (old[0] in left) == stays
    assert old[1] not in left
    assert set(old[11:]) <= left


def test_a_build_that_can_not_tidy_is_a_build_all_the_same(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise Unavailable("it can't be removed")

    monkeypatch.setattr(retention, "after_build", fail)

    shop.build()

    assert shop.verdict().__class__.__name__ == "Fresh"


def test_what_was_sent_is_forgotten_with_its_name_once_it_is_much() -> None:
    known = {"a": {str(number): "x" for number in range(20_003)}}

    sent, why = next_send(Sent("old", known), {"a": ("new", "y")})

    assert (sent.name != "old", sent.files, why) == (True, {"a": {"new": "y"}}, "")
