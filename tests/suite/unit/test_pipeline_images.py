"""The verdicts on a stack's images, with their commits, mounts and bases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from checkout import member
from workshop import TEXT, Workshop

from unstale.config import VerifyRule
from unstale.errors import CouldNotTell, Mismatch, NotReady, UnstaleError
from unstale.facts import CommitFact
from unstale.image.check import LABEL_INPUTS, LABEL_MANIFEST, ImageStatus
from unstale.pipeline.images import (
    describe,
    needs_build,
    require_fresh,
    require_present,
    require_verified,
    statuses,
    verify,
    with_bases,
)
from unstale.ports import Git
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown

BUILT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def status(shop: Workshop, service: str = "app") -> ImageStatus:
    (found,) = statuses(shop.bench, [service])
    return found


def replaced(shop: Workshop, **changes: Any) -> None:
    """Give the image of the app other facts."""
    old = shop.image()
    shop.docker.local_images.remove(old)
    shop.docker.local_images.append(replace(old, **changes))


# --- The verdict ---


def test_an_image_that_was_never_built_is_missing(shop: Workshop) -> None:
    found = status(shop)

    assert (found.verdict, found.image_id, found.built_at) == (Missing(), None, None)
    assert found.inputs.startswith("v1:sha256:")


def test_each_built_service_has_a_status_or_those_that_are_named(shop: Workshop) -> None:
    shop.services["jobs"] = {}
    shop.more["db"] = {"image": "postgres:17"}

    assert [s.service for s in statuses(shop.bench)] == ["app", "jobs"]
    assert [s.service for s in statuses(shop.bench, ["jobs"])] == ["jobs"]


def asleep(shop: Workshop, name: str = "seed") -> None:
    """A built service of a profile that is not switched on."""
    shop.services[name] = {}
    shop.more[name] = {"profiles": [name]}


def test_what_waits_for_a_profile_has_a_status_where_it_is_named(shop: Workshop) -> None:
    asleep(shop)

    assert [s.service for s in statuses(shop.bench)] == ["app"]
    assert [s.service for s in statuses(shop.bench, ["seed"])] == ["seed"]


def test_what_others_are_built_on_needs_no_profile(shop: Workshop) -> None:
    asleep(shop)
    shop.checkout.write({"on-seed": "FROM demo-seed\nCOPY src /app/\n"})
    shop.services["app"] = {"dockerfile": "on-seed"}

    assert [s.service for s in statuses(shop.bench)] == ["app", "seed"]


def test_what_a_service_in_play_waits_for_is_in_play(shop: Workshop) -> None:
    asleep(shop)
    shop.more["app"] = {"depends_on": {"seed": {"condition": "service_started"}}}

    assert [s.service for s in statuses(shop.bench)] == ["app", "seed"]


def test_a_service_whose_image_a_rule_looks_into_is_in_play(shop: Workshop) -> None:
    asleep(shop)
    site = shop.bench.site
    rule = VerifyRule("seed", "/a", "text")

    looked_into = replace(site, settings=replace(site.settings, verify=(rule,)))

    assert "seed" not in site.in_play
    assert "seed" in looked_into.in_play


def test_all_profiles_can_be_switched_on(shop: Workshop) -> None:
    asleep(shop)
    site = shop.bench.site

    switched = replace(site, environment=replace(site.environment, profiles=("*",)))

    assert "seed" in switched.started_services
    assert switched.in_play == {"app", "seed"}


def test_a_stack_can_start_without_the_image_of_what_stays_asleep(shop: Workshop) -> None:
    asleep(shop)
    shop.build("app")

    require_present(shop.ports, shop.bench.site)
    assert statuses(shop.bench, []) == ()


def test_an_edit_makes_an_image_stale_and_undoing_it_fresh_again(shop: Workshop) -> None:
    shop.build()
    shop.checkout.write({"src/app.py": "v2"})
    expected = Reason("src/app.py", "modified", reader="Dockerfile:2")
    assert status(shop).verdict == Stale((expected,))

    shop.checkout.write({"src/app.py": "v1"})
    assert status(shop).verdict == Fresh()


def test_without_a_manifest_on_the_image_the_checkouts_own_names_the_reasons(
    shop: Workshop,
) -> None:
    shop.build()
    labels = {LABEL_INPUTS: shop.image().labels[LABEL_INPUTS]}
    replaced(shop, labels=labels)
    shop.checkout.write({"src/new.py": ""})
    expected = Reason("src/new.py", "added", reader="Dockerfile:2")
    assert status(shop).verdict == Stale((expected,))

    # In another checkout nothing is kept: bytes must do.
    for path in [p for p in shop.files.texts if p.parent.name == "manifests"]:
        shop.files.texts[path] = "{}"
    assert status(shop).verdict == Stale((expected,))
    shop.docker.archives[shop.image().id].append(member("/app/new.py"))
    assert status(shop).verdict == Stale((Reason("build inputs", "configuration"),))


class Watched(dict[Path, str]):
    """Texts that note which kept manifests are read."""

    def __init__(self, texts: Mapping[Path, str]) -> None:
        super().__init__(texts)
        self.read: list[Path] = []

    def __getitem__(self, path: Path) -> str:
        if path.parent.name == "manifests":
            self.read.append(path)
        return super().__getitem__(path)


def test_a_fresh_image_needs_no_manifest_and_a_stale_one_a_single_reading(shop: Workshop) -> None:
    shop.build()
    replaced(shop, labels={LABEL_INPUTS: shop.image().labels[LABEL_INPUTS]})
    texts = shop.files.texts = Watched(shop.files.texts)
    assert status(shop).verdict == Fresh()
    assert texts.read == []

    shop.checkout.write({"src/app.py": "v2"})
    assert isinstance(status(shop).verdict, Stale)
    assert len(texts.read) == 1


def test_a_base_image_that_is_gone_is_taken_from_the_stamp(shop: Workshop) -> None:
    shop.build()
    shop.docker.remove_images(["base"])
    assert status(shop).verdict == Fresh()

    replaced(shop, labels={**shop.image().labels, LABEL_MANIFEST: "damaged"})
    assert isinstance(status(shop).verdict, Unknown)


def test_a_service_is_no_fresher_than_the_one_it_is_built_on(shop: Workshop) -> None:
    shop.checkout.write({"lib/x": "1"})
    shop.services = {
        "app": {"dockerfile_inline": "FROM demo-root\nCOPY src /app/\n"},
        "root": {"dockerfile_inline": "FROM base\nCOPY lib /lib/\nRUN x\n"},
    }
    shop.held = [[member("/lib/x", "1")]]
    shop.build()
    assert [s.verdict for s in statuses(shop.bench)] == [Fresh(), Fresh()]

    shop.checkout.write({"lib/x": "2"})
    assert status(shop).verdict == Stale((Reason("base:root", "modified"),))
    assert with_bases(shop.bench, ["app"]) == ("app", "root")
    assert with_bases(shop.bench, ["root"]) == ("root",)


def test_a_base_that_is_fresh_need_not_be_built(shop: Workshop) -> None:
    shop.services = {
        "app": {"dockerfile_inline": "FROM demo-root\nCOPY src /app/\n"},
        "root": {"dockerfile_inline": TEXT},
    }
    assert set(with_bases(shop.bench, ["app"])) == {"app", "root"}

    shop.build("root")
    assert with_bases(shop.bench, ["app"]) == ("app",)


# --- What lies over it ---


def test_a_bind_mount_of_the_copied_folder_masks_its_changes(shop: Workshop) -> None:
    shop.build()
    source = str(shop.checkout.root / "src")
    shop.more["app"] = {"volumes": [{"type": "bind", "source": source, "target": "/app"}]}
    shop.checkout.write({"src/app.py": "v2"})

    found = status(shop)

    assert found.verdict == Fresh()
    assert [(r.path, r.masked) for r in found.masked] == [("src/app.py", True)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FROM base\nCOPY src /app/\nRUN x\n", "a RUN that was not there"),
        ("FROM base\nCOPY src /app/\nCMD x\n", "another command"),
        ("FROM base\nCOPY src /app/\nRUN --mount=type=bind,source=src,target=/s x\n", "a mount"),
    ],
)
def test_a_mount_masks_no_change_of_anything_else(shop: Workshop, text: str, why: str) -> None:
    shop.build()
    source = str(shop.checkout.root / "src")
    shop.more["app"] = {"volumes": [{"type": "bind", "source": source, "target": "/app"}]}
    shop.checkout.write({"src/app.py": "v2", "Dockerfile": text})

    found = status(shop)

    assert isinstance(found.verdict, Stale), why
    assert found.masked == ()


def test_a_mount_masks_nothing_that_a_run_reads_in_another_way(shop: Workshop) -> None:
    run = "RUN --mount=type=bind,source=src,target=/s cp /s/app.py /derived\n"
    shop.checkout.write({"Dockerfile": f"FROM base\n{run}COPY src /app/\n"})
    shop.build()
    source = str(shop.checkout.root / "src")
    shop.more["app"] = {"volumes": [{"type": "bind", "source": source, "target": "/app"}]}
    shop.checkout.write({"src/app.py": "v2"})

    assert isinstance(status(shop).verdict, Stale)


def test_a_mount_masks_nothing_where_a_secret_could_differ_as_well(shop: Workshop) -> None:
    text = "FROM base\nARG API_TOKEN\nRUN x\nCOPY src /app/\n"
    shop.checkout.write({"Dockerfile": text})
    shop.services["app"] = {"args": {"API_TOKEN": "first-heron"}}
    shop.build()
    source = str(shop.checkout.root / "src")
    shop.more["app"] = {"volumes": [{"type": "bind", "source": source, "target": "/app"}]}
    shop.services["app"] = {"args": {"API_TOKEN": "second-heron"}}
    shop.checkout.write({"src/app.py": "v2"})

    assert isinstance(status(shop).verdict, Stale)


def test_a_mount_makes_no_image_fresh_that_has_no_stamp(shop: Workshop) -> None:
    shop.build(arguments=("FLAVOUR=sweet",))
    source = str(shop.checkout.root / "src")
    shop.more["app"] = {"volumes": [{"type": "bind", "source": source, "target": "/app"}]}
    shop.checkout.write({"src/app.py": "v2"})

    assert isinstance(status(shop).verdict, Stale)


def bound(shop: Workshop, **more: Any) -> None:
    source = str(shop.checkout.root / "src")
    shop.more["app"] = {
        "volumes": [{"type": "bind", "source": source, "target": "/app"}],
        **more,
    }


@pytest.mark.parametrize(
    "more",
    [
        {"tmpfs": ["/app/sub"]},
        {"tmpfs": "/app/sub:size=1m"},
        {"configs": [{"source": "c", "target": "/app/sub/deep.py"}]},
        {"secrets": [{"source": "c", "target": "/app/sub/deep.py"}]},
        {"volumes_from": ["other"]},
    ],
    ids=["tmpfs", "tmpfs with options", "config", "secret", "volumes_from"],
)
def test_what_lies_over_the_bind_mount_itself_is_seen(shop: Workshop, more: dict[str, Any]) -> None:
    shop.checkout.write({"src/sub/deep.py": "v1"})
    shop.build()
    bound(shop, **more)
    shop.checkout.write({"src/sub/deep.py": "v2"})

    assert isinstance(status(shop).verdict, Stale)


def test_a_volume_that_the_image_declares_lies_over_the_bind_mount_as_well(shop: Workshop) -> None:
    shop.checkout.write({"src/sub/deep.py": "v1"})
    shop.checkout.write({"Dockerfile": "FROM base\nCOPY src /app/\nVOLUME /app/sub\n"})
    shop.build()
    bound(shop)
    shop.checkout.write({"src/sub/deep.py": "v2"})

    assert isinstance(status(shop).verdict, Stale)


def test_a_mount_masks_for_its_own_service_only(shop: Workshop) -> None:
    shop.services = {
        "app": {},
        "tests": {"dockerfile_inline": "FROM demo-app\nCOPY lib /lib/\n"},
    }
    shop.checkout.write({"lib/x": "1"})
    shop.held = [shop.right(), [member("/lib/x", "1")]]
    shop.build()
    bound(shop)
    assert [s.verdict for s in statuses(shop.bench)] == [Fresh(), Fresh()]

    shop.checkout.write({"src/app.py": "v2"})
    app, tests = statuses(shop.bench)

    assert app.verdict == Fresh()
    assert tests.verdict == Stale((Reason("base:app", "modified"),))
    assert set(with_bases(shop.bench, ["tests"])) == {"app", "tests"}


def test_a_run_accepts_old_bytes_where_the_current_ones_are_mounted(shop: Workshop) -> None:
    shop.build()
    bound(shop)
    shop.checkout.write({"src/app.py": "v2"})
    found = status(shop)

    plain = verify(shop.bench, "app")
    excused = verify(shop.bench, "app", masked=found.masked)

    assert isinstance(plain.verdict, Stale)
    assert (excused.verdict, excused.finding, excused.masked) == (Fresh(), "", 1)


def test_what_is_built_on_what_is_stale_is_stale_at_any_distance(shop: Workshop) -> None:
    shop.checkout.write({"lib/x": "1"})
    shop.services = {
        "app": {"dockerfile_inline": "FROM demo-middle\nCOPY src /app/\n"},
        "middle": {"dockerfile_inline": "FROM demo-root\nRUN y\n"},
        "root": {"dockerfile_inline": "FROM base\nCOPY lib /lib/\nRUN x\n"},
    }
    shop.held = [[member("/lib/x", "1")]]
    shop.build()
    assert [s.verdict for s in statuses(shop.bench)] == [Fresh()] * 3

    shop.checkout.write({"lib/x": "2"})

    assert [isinstance(s.verdict, Stale) for s in statuses(shop.bench)] == [True] * 3
    assert set(with_bases(shop.bench, ["app"])) == {"app", "middle", "root"}


# --- Commits ---


class Log:
    """A history, newest first."""

    def __init__(self, none: Git, *commits: CommitFact) -> None:
        self._none = none
        self._commits = commits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._none, name)

    def log(self, since: datetime | None = None, limit: int = 50) -> tuple[CommitFact, ...]:
        found = (c for c in self._commits if since is None or c.committed_at > since)
        return tuple(found)[:limit]

    def last_commits(self, paths: Sequence[Path]) -> Mapping[Path, CommitFact]:
        return dict.fromkeys(paths, self._commits[0])


def commit(number: int, hours: float) -> CommitFact:
    return CommitFact(f"{number}" * 40, f"{number}" * 7, BUILT + timedelta(hours=hours), "s")


def test_commits_and_hours_are_counted_from_the_images_creation(shop: Workshop) -> None:
    shop.build()
    replaced(shop, created=BUILT)
    git = Log(shop.ports.git, commit(3, 4.5), commit(2, 1), commit(1, -1))
    shop.ports = replace(shop.ports, git=git)
    shop.checkout.write({"src/app.py": "v2"})

    found = status(shop)

    assert (found.commits_behind, found.hours_behind) == (2, 4.5)
    assert isinstance(found.verdict, Stale)
    assert [(r.path, r.commit) for r in found.verdict.reasons] == [("src/app.py", "3333333")]


def test_an_image_without_a_time_is_behind_nothing_that_is_known(shop: Workshop) -> None:
    shop.build()
    shop.ports = replace(shop.ports, git=Log(shop.ports.git, commit(1, 1)))

    assert (status(shop).commits_behind, status(shop).hours_behind) == (0, 0.0)


# --- What is accepted ---


def told(shop: Workshop, verdict: Any) -> ImageStatus:
    return replace(status(shop), verdict=verdict)


@pytest.mark.parametrize(
    ("verdict", "error", "says"),
    [
        (Unknown("why"), CouldNotTell, "can't be told whether 'app' is fresh"),
        (Stale((Reason("a", "added"), Reason("b", "removed"))), Mismatch, "its build: a, b"),
        (Missing(), NotReady, "'app' has no image"),
    ],
)
def test_only_a_fresh_image_is_accepted_after_a_build(
    shop: Workshop, verdict: Any, error: type[UnstaleError], says: str
) -> None:
    assert needs_build(told(shop, verdict))
    with pytest.raises(error, match=says) as caught:
        require_fresh([told(shop, Fresh()), told(shop, verdict)])

    assert caught.value.hint


def test_fresh_images_are_accepted_and_described(shop: Workshop) -> None:
    fresh = told(shop, Fresh())
    require_fresh([fresh])

    assert not needs_build(fresh)
    assert describe([fresh, replace(fresh, service="jobs", verdict=Missing())]) == (
        "app fresh, jobs missing"
    )
    assert describe([]) == "nothing is built here"


def test_a_stack_is_not_started_with_an_image_that_was_never_built(shop: Workshop) -> None:
    with pytest.raises(NotReady, match="'app' has no image yet"):
        require_present(shop.ports, shop.bench.site)

    shop.build()
    require_present(shop.ports, shop.bench.site)


# --- A look into an image ---


def test_a_text_is_looked_for_in_the_image_and_the_proof_of_the_build_cited(
    shop: Workshop,
) -> None:
    shop.build()
    found = verify(shop.bench, "app", grep="v1")

    assert (found.verdict, found.is_cited, found.compared) == (Fresh(), True, 1)
    assert [(str(m.path), m.line) for m in found.matches] == [("/app/app.py", 1)]
    require_verified(found)


def test_a_text_that_is_not_there_is_a_mismatch(shop: Workshop) -> None:
    shop.build()

    with pytest.raises(Mismatch, match="pattern not found"):
        require_verified(verify(shop.bench, "app", grep="v2"))


def test_a_path_is_looked_at_and_not_cited(shop: Workshop) -> None:
    shop.build()
    shop.docker.archives[shop.image().id] = [member("/app/app.py", "v0")]

    found = verify(shop.bench, "app", path="/app/app.py")

    assert not found.is_cited
    assert found.finding.startswith("bytes differ")


def test_an_image_of_another_tree_is_compared_and_not_cited(shop: Workshop) -> None:
    shop.build()
    shop.checkout.write({"src/app.py": "v2"})

    assert verify(shop.bench, "app").finding == "bytes differ: 1 of 1 copied files"


def test_what_is_not_built_here_or_not_yet_can_not_be_looked_at(shop: Workshop) -> None:
    shop.more["db"] = {"image": "postgres:17"}

    for service in ("db", "nobody"):
        with pytest.raises(Mismatch, match=f"'{service}' is not built here"):
            verify(shop.bench, service)
    with pytest.raises(NotReady, match="'app' has no image yet"):
        verify(shop.bench, "app")


# --- The bench ---


def test_the_images_of_all_services_are_asked_for_in_one_question(shop: Workshop) -> None:
    asked: list[Sequence[str]] = []
    ask = shop.docker.images_called
    shop.docker.images_called = lambda names: (asked.append(names), ask(names))[1]  # type: ignore[func-returns-value,method-assign]
    shop.services["jobs"] = {}

    statuses(shop.bench)

    assert asked == [("base", "demo-app", "demo-jobs")]


def test_without_a_ledger_there_are_no_records(shop: Workshop) -> None:
    assert shop.bench.records() == ()
