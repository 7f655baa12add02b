"""Build, stamp and prove, with a builder that puts into images what it is told to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from checkout import Checkout, image_fact, member

from unstale.compose import parse
from unstale.config import Environment, RunnerSettings, SchemaSettings, Settings
from unstale.errors import BuildFailed, CouldNotTell, Mismatch
from unstale.image import manifest
from unstale.image.check import LABEL_INPUTS, LABEL_MANIFEST
from unstale.mask import Mask
from unstale.pipeline.builds import Build, build, waves
from unstale.pipeline.images import Bench, statuses
from unstale.pipeline.site import Ports, Site
from unstale.ports import ArchiveMember, BuildOptions, CommitFact, ComposeTarget, ImageFact
from unstale.verdict import Fresh, Unknown

if TYPE_CHECKING:
    from conftest import FakeDocker, FakeFiles, FakeGit

APP = "/app/app.py"
TEXT = "FROM base\nCOPY src /app/\n"
BASE = image_fact("sha256:base", image_id="sha256:b", tags=("base",))
AT = (1_000_000_000, 1_000_000_000)


class Workshop:
    """A project with built services, and an engine whose builder can be told to err."""

    def __init__(
        self, checkout: Checkout, ports: Ports, docker: FakeDocker, files: FakeFiles
    ) -> None:
        self.checkout = checkout
        self.ports = ports
        self.docker = docker
        self.files = files
        self.services: dict[str, dict[str, Any]] = {"app": {}}
        self.held: list[Sequence[ArchiveMember]] = []
        """What the images of the next builds hold; then what the tree has."""
        self.during: Callable[[], object] = lambda: None
        """What happens while a build goes on."""
        self.builds: list[tuple[str, Mapping[str, Any], BuildOptions]] = []
        """Each service that was built, with its overlay."""
        self.notes: tuple[str, ...] = ()
        docker.on_build = self._build
        docker.local_images.append(BASE)

    @property
    def bench(self) -> Bench:
        """The bench of a new command."""
        root = self.checkout.root
        model = {
            "name": "demo",
            "services": {
                name: {"build": {"context": str(root), "dockerfile": "Dockerfile", **section}}
                for name, section in self.services.items()
            },
        }
        environment = Environment("test", (), ())
        settings = Settings(
            root, "test", {"test": environment}, RunnerSettings(), {}, SchemaSettings(), (), ()
        )
        site = Site(
            settings=settings,
            environment=environment,
            stack=parse(model),
            target=ComposeTarget("demo", (root / "compose.yml",)),
            runner="app",
            database=None,
            values=(),
            mask=Mask(),
            owner="me",
        )
        return Bench(self.ports, self.files, site, {})

    def _build(self, target: ComposeTarget, services: Sequence[str], options: BuildOptions) -> None:
        overlay = json.loads(self.files.texts[target.files[-1]])["services"]
        for name in services:
            section = overlay[name].get("build", {})
            self.builds.append((name, section, options))
            self.docker.local_images = [
                i for i in self.docker.local_images if f"demo-{name}" not in i.tags
            ]
            fact = image_fact(
                "sha256:base",
                "sha256:copy",
                image_id=f"sha256:{len(self.builds)}",
                tags=(f"demo-{name}",),
                labels=section.get("labels", {}),
            )
            self.docker.local_images.append(fact)
            self.docker.archives[fact.id] = list(self.held.pop(0) if self.held else self.right())
        self.during()

    def right(self) -> list[ArchiveMember]:
        """What an image holds that was built from the tree as it is."""
        root = self.checkout.root / "src"
        return [member(f"/app/{p.relative_to(root)}", p.read_bytes()) for p in root.rglob("*.py")]

    def build(self, *services: str, **choice: Any) -> None:
        self.notes = build(
            self.bench, services or tuple(self.services), Build(**choice), lambda _: None
        )

    def verdict(self, service: str = "app") -> object:
        return next(s.verdict for s in statuses(self.bench) if s.service == service)

    def image(self, service: str = "app") -> ImageFact:
        found = self.docker.image(f"demo-{service}")
        assert found is not None
        return found

    def ledger(self) -> list[dict[str, Any]]:
        text = self.files.texts.get(self.bench.ledger_path, "")
        return [json.loads(line) for line in text.splitlines()]

    def links(self) -> list[str]:
        """The names that the contexts of the builds so far were sent under."""
        return [Path(section["context"]).name for _, section, _ in self.builds]


@pytest.fixture
def shop(
    checkout: Checkout,
    ports: Ports,
    docker: FakeDocker,
    files: Callable[[Mapping[Path, str]], FakeFiles],
) -> Workshop:
    checkout.write({"src/app.py": "v1", "Dockerfile": TEXT, ".dockerignore": ".unstale\n"})
    return Workshop(checkout, ports, docker, files({}))


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


def test_an_inline_dockerfile_is_left_to_compose(shop: Workshop) -> None:
    shop.services["app"] = {"dockerfile_inline": TEXT}
    shop.build()

    assert "dockerfile" not in shop.builds[0][1]
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
    shop.during = lambda: shop.docker.remove_images(["demo-app"])

    with pytest.raises(BuildFailed, match="has no image demo-app"):
        shop.build()


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
    shop.during = lambda: edit(shop.checkout.root)

    shop.build()

    assert shop.verdict() == Fresh()


# --- The builder uses old bytes ---


def test_old_bytes_are_sent_anew_under_another_name(shop: Workshop) -> None:
    shop.held = [OLD]
    shop.build()

    assert len(shop.builds) == 2
    assert len(set(shop.links())) == 2
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
        "app is sent under a new name: :src/app.py changed, and its size and time did not",
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

    assert shop.image().labels == {}
    assert len(shop.builds) == 1
    assert shop.docker.looked == []
    assert [line["inputs"] for line in shop.ledger()] == [""]
    assert shop.builds[0][2].arguments == ("A=1",)


def test_a_build_with_other_arguments_vouches_for_nothing_that_could_change(
    shop: Workshop,
) -> None:
    shop.during = lambda: (shop.checkout.root / "src/app.py").write_text("v2")

    shop.build(arguments=("A=1",))

    assert shop.image().labels == {}


def test_an_image_with_an_input_from_elsewhere_is_built_once_and_unknown(shop: Workshop) -> None:
    shop.checkout.write({"Dockerfile": f"{TEXT}ADD https://example.com/x /x\n"})
    shop.held = [OLD]
    shop.build()

    assert len(shop.builds) == 1
    assert shop.verdict() == Unknown("ADD https://example.com/x (line 3)")


def test_options_of_a_build_are_handed_on(shop: Workshop) -> None:
    shop.build(no_cache=True, pull=True)

    assert (shop.builds[0][2].no_cache, shop.builds[0][2].pull) == (True, True)


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
