"""Build, stamp and prove, with a builder that puts into images what it is told to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from checkout import image_fact, member
from workshop import BASE, TEXT, Workshop

from unstale.errors import BuildFailed, CouldNotTell, Interrupted, Mismatch, TimedOut
from unstale.facts import CommitFact
from unstale.image import manifest
from unstale.image.check import LABEL_INPUTS, LABEL_MANIFEST
from unstale.pipeline.builds import waves
from unstale.ports import BuildOptions
from unstale.verdict import Fresh, Unknown

if TYPE_CHECKING:
    from conftest import FakeGit

APP = "/app/app.py"
AT = (1_000_000_000, 1_000_000_000)
OLD = (member(APP, "v0"),)


# --- A build that goes well ---


def test_an_image_is_stamped_with_what_it_was_built_from(shop: Workshop) -> None:
    shop.build()

    labels = shop.image().labels
    inputs = shop.bench.inputs(shop.bench.services[0])
    assert labels[LABEL_INPUTS] == inputs.digest
    assert manifest.decode(labels[LABEL_MANIFEST]) == manifest.manifest(inputs)
    assert shop.notes == ()
    assert len(shop.builds) == 1


def test_a_built_image_is_fresh_and_its_bytes_are_not_read_again(shop: Workshop) -> None:
    shop.build()
    looked = len(shop.docker.looked)

    assert shop.verdict() == Fresh()
    assert len(shop.docker.looked) == looked == 1


def test_a_build_is_written_into_the_ledger(shop: Workshop) -> None:
    shop.build()
    (line,) = shop.ledger()
    (record,) = shop.bench.records()

    assert (line["service"], line["image_id"]) == ("app", "sha256:1")
    assert record.inputs == shop.image().labels[LABEL_INPUTS]
    assert record.built_at == shop.ports.clock.now()
    assert record.revision == ""
    shop.build()
    assert len(shop.ledger()) == 2


def test_the_manifest_is_kept_beside_the_label(shop: Workshop) -> None:
    shop.build()
    bench = shop.bench
    kept = shop.files.read_text(bench.manifest_path(shop.image().labels[LABEL_INPUTS]))

    assert manifest.decode(kept) == manifest.decode(shop.image().labels[LABEL_MANIFEST])


def test_the_stamp_has_the_commit_and_no_clock(shop: Workshop) -> None:
    shop.build()
    assert not [name for name in shop.image().labels if name.startswith("org.opencontainers")]

    at = datetime(2026, 1, 2, tzinfo=UTC)

    class Committed(type(shop.ports.git)):  # type: ignore[misc]
        def head(self) -> CommitFact:
            return CommitFact("05a54e1f", "05a54e1", at, "s")

    git: FakeGit = Committed()
    shop.ports = replace(shop.ports, git=git)
    shop.build()
    assert shop.image().labels["org.opencontainers.image.revision"] == "05a54e1f"
    assert shop.image().labels["org.opencontainers.image.created"] == at.isoformat()


def test_the_context_is_sent_through_a_link_and_the_dockerfile_by_its_place(
    shop: Workshop,
) -> None:
    shop.build()
    section = shop.builds[0][1]

    assert shop.files.links[Path(section["context"])] == shop.checkout.root
    assert Path(section["context"]).is_relative_to(shop.checkout.root / ".unstale")
    assert section["dockerfile"] == str(shop.checkout.root / "Dockerfile")


def test_an_inline_dockerfile_is_written_out(shop: Workshop) -> None:
    # Buildx leaves its own copy in the temporary folder.
    shop.services["app"] = {"dockerfile_inline": TEXT}
    shop.build()

    path = Path(shop.builds[0][1]["dockerfile"])
    assert shop.files.texts[path] == TEXT
    assert shop.verdict() == Fresh()


def test_services_of_one_context_are_sent_under_one_name(shop: Workshop) -> None:
    shop.services["jobs"] = {}
    shop.build()

    assert [name for name, _, _ in shop.builds] == ["app", "jobs"]
    assert len(set(shop.links())) == 1


def test_an_ignore_file_that_lets_the_state_in_gets_a_line_in_a_copy(shop: Workshop) -> None:
    shop.checkout.write({".dockerignore": "# ours\n*.md\n"})
    shop.build()
    copy = Path(shop.builds[0][1]["dockerfile"])

    assert shop.files.texts[copy] == TEXT
    rules = shop.files.texts[copy.with_name(f"{copy.name}.dockerignore")].split()
    assert rules == ["#", "ours", "*.md", ".unstale"]
    assert shop.verdict() == Fresh()


def test_an_image_that_the_engine_does_not_have_was_not_built(shop: Workshop) -> None:
    shop.during = lambda: shop.docker.remove_images(["unstale-unproven:demo-app"])

    with pytest.raises(BuildFailed, match="has no image of it"):
        shop.build()


@pytest.mark.parametrize("stop", [Interrupted(2), None])
def test_a_name_that_can_not_be_taken_away_hides_no_failed_build(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, stop: Interrupted | None
) -> None:
    deadlines = []

    def refuse(_: Sequence[str], deadline_s: float | None = None) -> None:
        deadlines.append(deadline_s)
        raise TimedOut("The Docker engine did not answer in time.")

    def during() -> None:
        raise stop or BuildFailed("broke")

    monkeypatch.setattr(shop.docker, "remove_images", refuse)
    shop.during = during

    with pytest.raises(Interrupted if stop else BuildFailed):
        shop.build()

    assert deadlines == [5.0 if stop else None]


# --- The tree moves ---


@pytest.mark.parametrize(
    "edit",
    [
        lambda root: (root / "src/app.py").write_text("v2"),
        lambda root: (root / "src/new.py").write_text(""),
        lambda root: (root / "Dockerfile").write_text(f"{TEXT}RUN x\n"),
        lambda root: (root / ".dockerignore").write_text(".unstale\nsrc/app.py\n"),
    ],
)
def test_what_changes_during_a_build_costs_the_image(
    shop: Workshop, edit: Callable[[Path], object]
) -> None:
    shop.during = lambda: edit(shop.checkout.root)

    with pytest.raises(CouldNotTell, match="app changed while the build was going on"):
        shop.build()

    assert shop.docker.image("demo-app") is None
    assert shop.ledger() == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda root: os.utime(root / "src/app.py"),
        lambda root: (root / "notes").write_text("x"),
        lambda root: (root / "Dockerfile").write_text(f"# why\n{TEXT}"),
    ],
)
def test_what_is_no_input_may_change_during_a_build(
    shop: Workshop, edit: Callable[[Path], object]
) -> None:
    edits = iter((edit, lambda _: None))
    shop.during = lambda: next(edits)(shop.checkout.root)

    shop.build()

    assert shop.verdict() == Fresh()


def test_a_file_that_is_changed_and_changed_back_costs_another_build(shop: Workshop) -> None:
    app = shop.checkout.root / "src/app.py"
    moves = iter((("v2", "v1"), ()))

    def there_and_back() -> None:
        for text in next(moves):
            app.write_text(text)

    shop.checkout.write({"src/app.py": "v1"})
    shop.during = there_and_back

    shop.build()

    assert len(shop.builds) == 2
    assert shop.verdict() == Fresh()


def test_a_tree_that_is_touched_without_end_is_not_vouched_for(shop: Workshop) -> None:
    shop.during = lambda: os.utime(shop.checkout.root / "src/app.py")

    with pytest.raises(CouldNotTell, match="app changed while the build was going on"):
        shop.build()

    assert shop.docker.image("demo-app") is None


def test_builds_of_one_checkout_wait_for_each_other(shop: Workshop) -> None:
    shop.build()

    (lock,) = shop.files.locks
    assert not lock.is_relative_to(shop.checkout.root)


def test_another_programs_image_under_our_name_is_not_taken(shop: Workshop) -> None:
    def replaced() -> None:
        (built,) = (i for i in shop.docker.local_images if i.tags == ("unstale-unproven:demo-app",))
        shop.docker.local_images.remove(built)
        shop.docker.local_images.append(replace(built, labels={LABEL_INPUTS: "v1:other"}))

    shop.during = replaced

    with pytest.raises(BuildFailed, match="without the stamp that was asked for"):
        shop.build()


def test_no_name_leads_to_an_image_that_nobody_looked_into(shop: Workshop) -> None:
    shop.build()
    before = shop.image().id
    shop.checkout.write({"src/app.py": "v2"})

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    shop.docker.files_in_image = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        shop.build()

    assert shop.image().id == before
    assert shop.docker.image("unstale-unproven:demo-app") is None


# --- The builder uses old bytes ---


def test_old_bytes_are_sent_anew_under_another_name(shop: Workshop) -> None:
    shop.held = [OLD]
    shop.build()

    assert len(shop.builds) == 2
    assert len(set(shop.links())) == 2
    assert [link.name for link in shop.files.links] == shop.links()[-1:]
    assert [options.no_cache for _, _, options in shop.builds] == [False, False]
    assert shop.notes == ("the builder used old bytes for app, or a RUN rewrote them: sent anew",)
    assert shop.verdict() == Fresh()


def test_the_new_name_is_kept_for_later_builds(shop: Workshop) -> None:
    shop.held = [OLD]
    shop.build()
    shop.build()

    assert shop.links()[2] == shop.links()[1] != shop.links()[0]


def test_old_bytes_in_the_layer_cache_cost_a_build_without_it(shop: Workshop) -> None:
    shop.held = [OLD, OLD]
    shop.build()

    assert [options.no_cache for _, _, options in shop.builds] == [False, False, True]
    assert len(set(shop.links())) == 3
    assert shop.verdict() == Fresh()


def test_old_bytes_to_the_end_are_a_mismatch_and_cost_the_image(shop: Workshop) -> None:
    shop.held = [OLD, OLD, OLD]

    with pytest.raises(Mismatch, match=r"does not hold the files it was built from: src/app\.py"):
        shop.build()

    assert shop.docker.image("demo-app") is None


def test_only_the_service_with_old_bytes_is_built_again(shop: Workshop) -> None:
    shop.services["jobs"] = {}
    shop.held = [shop.right(), OLD]
    shop.build()

    assert [name for name, _, _ in shop.builds] == ["app", "jobs", "jobs"]


def test_what_the_builder_could_not_notice_is_sent_under_a_new_name(shop: Workshop) -> None:
    place = shop.checkout.root / "src/app.py"
    os.utime(place, AT)
    shop.build()
    place.write_text("v2")
    os.utime(place, AT)
    shop.build()

    assert len(set(shop.links())) == 2
    assert shop.notes == (
        "app is sent under a new name: src/app.py changed, and its size and time did not",
    )


def test_a_send_is_written_down_before_the_builder_sees_it(shop: Workshop) -> None:
    def fail() -> None:
        raise BuildFailed("no")

    place = shop.checkout.root / "src/app.py"
    os.utime(place, AT)
    shop.during = fail
    with pytest.raises(BuildFailed):
        shop.build()
    shop.during = lambda: None
    place.write_text("v2")
    os.utime(place, AT)

    shop.build()

    assert len(set(shop.links())) == 2


def test_a_damaged_history_of_sends_is_none(shop: Workshop) -> None:
    shop.build()
    for path in [p for p in shop.files.texts if p.parent.name == "contexts"]:
        shop.files.texts[path] = "{"
    shop.build()

    assert len(set(shop.links())) == 2


# --- A RUN rewrites what was copied ---

COMPILED = (member(APP, "compiled"),)


def test_what_a_run_rewrites_is_settled_by_one_more_build(shop: Workshop) -> None:
    shop.checkout.write({"Dockerfile": f"{TEXT}RUN compile\n"})
    shop.held = [COMPILED, COMPILED]
    shop.build()

    assert len(shop.builds) == 2
    assert shop.verdict() == Fresh()


def test_what_a_run_is_known_to_rewrite_costs_no_more_builds(shop: Workshop) -> None:
    shop.checkout.write({"Dockerfile": f"{TEXT}RUN compile\n"})
    shop.held = [COMPILED] * 3
    shop.build()
    shop.checkout.write({"src/app.py": "version 2"})
    shop.build()

    assert len(shop.builds) == 3
    assert shop.notes == ()
    assert shop.verdict() == Fresh()


def test_another_file_that_differs_is_looked_into_again(shop: Workshop) -> None:
    shop.checkout.write({"Dockerfile": f"{TEXT}RUN compile\n", "src/more.py": "1"})
    both = (member(APP, "compiled"), member("/app/more.py", "compiled"))
    one = (member(APP, "compiled"), member("/app/more.py", "1"))
    shop.held = [one, one, both, both]
    shop.build()
    shop.build()

    assert len(shop.builds) == 4
    assert shop.verdict() == Fresh()


# --- What can't be proven ---


def test_a_build_with_other_arguments_has_no_stamp(shop: Workshop) -> None:
    shop.held = [OLD]
    shop.build(arguments=("A=1",))

    assert shop.image().labels == {LABEL_INPUTS: "", LABEL_MANIFEST: ""}
    assert len(shop.builds) == 1
    assert shop.docker.looked == []
    assert [line["inputs"] for line in shop.ledger()] == [""]
    assert shop.builds[0][2].arguments == ("A=1",)


def test_a_build_with_other_arguments_vouches_for_nothing_that_could_change(
    shop: Workshop,
) -> None:
    shop.during = lambda: (shop.checkout.root / "src/app.py").write_text("v2")

    shop.build(arguments=("A=1",))

    assert shop.image().labels == {LABEL_INPUTS: "", LABEL_MANIFEST: ""}


def test_an_image_with_an_input_from_elsewhere_is_built_once_and_unknown(shop: Workshop) -> None:
    shop.checkout.write({"Dockerfile": f"{TEXT}ADD https://example.com/x /x\n"})
    shop.held = [OLD]
    shop.build()

    assert len(shop.builds) == 1
    assert shop.verdict() == Unknown("ADD https://example.com/x (line 3)")


def test_options_of_a_build_are_handed_on(shop: Workshop) -> None:
    shop.build(no_cache=True, arguments=("A=1",))

    assert shop.builds[0][2] == BuildOptions(no_cache=True, arguments=("A=1",))


# --- Base images ---


def test_a_base_image_that_is_not_here_is_pulled_first(shop: Workshop) -> None:
    shop.docker.local_images.clear()
    shop.docker.registry["base"] = BASE
    shop.build()

    assert shop.docker.pulled == ["base"]
    assert shop.verdict() == Fresh()


def test_a_base_image_that_is_here_is_not_pulled_unless_asked(shop: Workshop) -> None:
    shop.build()
    assert shop.docker.pulled == []

    shop.build(pull=True)
    assert shop.docker.pulled == ["base"]


def test_what_is_built_here_is_never_asked_of_a_registry(shop: Workshop) -> None:
    chained(shop, app="demo-root", root="base")
    shop.build(pull=True)

    assert shop.docker.pulled == ["base"]


def test_a_base_image_that_moves_when_it_is_pulled_is_in_the_stamp(shop: Workshop) -> None:
    shop.docker.registry["base"] = replace(BASE, id="sha256:c", layers=("sha256:moved",))
    before = shop.bench.inputs(shop.bench.services[0]).digest
    shop.build(pull=True)

    assert shop.image().labels[LABEL_INPUTS] != before


def test_a_base_image_that_no_registry_ever_had_is_used_as_it_is(shop: Workshop) -> None:
    shop.build(pull=True)

    assert shop.docker.pulled == ["base"]
    assert shop.verdict() == Fresh()


def test_a_base_image_that_its_registry_does_not_give_any_more_is_an_error(shop: Workshop) -> None:
    shop.docker.local_images = [replace(BASE, is_pulled=True)]

    with pytest.raises(BuildFailed, match="base can't be pulled"):
        shop.build(pull=True)


def test_a_base_image_is_pulled_before_its_variables_say_what_is_copied(shop: Workshop) -> None:
    shop.checkout.write({"Dockerfile": "FROM base\nCOPY $SOURCE/app.py /app/\n"})
    shop.docker.local_images.clear()
    shop.docker.registry["base"] = image_fact(
        "sha256:base", image_id="sha256:b", tags=("base",), Env=["SOURCE=src"]
    )
    shop.build()

    assert shop.docker.pulled == ["base"]
    assert shop.verdict() == Fresh()


def test_a_base_image_is_pulled_for_the_platform_that_is_built_for(shop: Workshop) -> None:
    shop.services["app"] = {"platforms": ["linux/arm64"]}
    shop.docker.registry["base"] = replace(BASE, architecture="arm64")
    shop.build()

    assert shop.docker.pulled == ["base linux/arm64"]
    assert shop.verdict() == Fresh()


def test_a_build_may_get_another_base_than_the_last_one_had(shop: Workshop) -> None:
    shop.build()
    shop.docker.local_images = [i for i in shop.docker.local_images if i != BASE]
    assert shop.verdict() == Fresh()
    shop.checkout.write({"src/app.py": "two"})
    shop.build()

    assert shop.docker.pulled == ["base"]
    assert shop.verdict() == Unknown("the base image base is not on this machine")


def test_an_image_that_a_trigger_of_a_pulled_one_names_is_pulled_too(shop: Workshop) -> None:
    shop.docker.local_images.clear()
    shop.docker.registry["other"] = image_fact("sha256:other", image_id="sha256:o", tags=("other",))
    triggers = ["COPY --from=other /a /a"]
    shop.docker.registry["base"] = image_fact(
        "sha256:base", image_id="sha256:b", tags=("base",), OnBuild=triggers
    )
    shop.build()

    assert shop.docker.pulled == ["base", "other"]


def test_a_base_image_that_can_not_be_pulled_is_left_to_the_build(shop: Workshop) -> None:
    shop.docker.local_images.clear()
    shop.build()

    assert shop.docker.pulled == ["base"]
    assert isinstance(shop.verdict(), Unknown)


def chained(shop: Workshop, **bases: str) -> None:
    """Let each service be built on another's image, or on the base."""
    shop.services = {
        name: {"dockerfile_inline": TEXT.replace("base", base)} for name, base in bases.items()
    }


def test_services_are_built_after_those_they_are_built_on(shop: Workshop) -> None:
    chained(shop, app="demo-mid:latest", mid="demo-root", root="base", other="base")

    found = [[s.name for s in wave] for wave in waves(shop.bench, tuple(shop.services))]
    assert found == [["other", "root"], ["mid"], ["app"]]
    some = [[s.name for s in wave] for wave in waves(shop.bench, ("app", "root"))]
    assert some == [["app", "root"]]


def test_services_in_a_circle_are_left_to_the_builder(shop: Workshop) -> None:
    chained(shop, app="demo-jobs", jobs="demo-app")

    assert [[s.name for s in w] for w in waves(shop.bench, ("app", "jobs"))] == [["app", "jobs"]]


def test_a_service_is_stamped_with_the_image_that_it_is_built_on(shop: Workshop) -> None:
    chained(shop, app="demo-root", root="base")
    shop.build()

    assert [name for name, _, _ in shop.builds] == ["root", "app"]
    assert shop.docker.pulled == []
    found = manifest.decode(shop.image().labels[LABEL_MANIFEST])
    assert found is not None
    assert found.bases["demo-root"][0] == ("sha256:base", "sha256:copy")


def test_places_in_the_image_are_read_where_files_were_copied(shop: Workshop) -> None:
    shop.build()

    assert shop.docker.looked == [("sha256:1", PurePosixPath(APP))]
