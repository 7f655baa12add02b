"""Why a container is what it should be, or is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from unstale.compose import parse
from unstale.facts import ContainerFact, MountFact, Placement
from unstale.image.check import ImageStatus
from unstale.image.explain import Background
from unstale.parity.model import Item, ServiceFacts, Source
from unstale.pipeline.containers import StackStatus
from unstale.pipeline.explanation import Answer, Place
from unstale.pipeline.why_stack import Stage, explain, nothing_up
from unstale.stack.judge import ContainerStatus
from unstale.stack.mounts import Finding
from unstale.verdict import Fresh, Reason, Stale, Unknown

ROOT = Path("/home/robin/shop")
FILE = "docker-compose.test.yml"


@pytest.fixture
def app(container: ContainerFact) -> ContainerStatus:
    return ContainerStatus(container, Fresh(), Fresh(), Fresh(), source=Fresh())


def written() -> tuple[ServiceFacts, ...]:
    def item(field: Any, name: str, line: int, variable: str = "") -> Item:
        kind: Any = "interpolation" if variable else "compose"
        return Item(field, name, "x", source=Source(kind, FILE, line, variable))

    items = (
        item("command", "flag", 7),
        item("environment", "LOG_LEVEL", 4, "LEVEL"),
        item("healthcheck", "test", 9),
        item("image", "name", 2),
        item("other", "labels.team", 12),
        item("other", "ports 80/tcp", 10),
        item("other", "user", 11),
        item("volumes", "/app", 6),
        Item("environment", "UNKNOWN_PLACE", "x"),
    )
    return (ServiceFacts("app", items), ServiceFacts("db", ()))


def stage(image: ImageStatus | None = None) -> Stage:
    model = {
        "name": "demo",
        "services": {"app": {"image": "demo-app", "build": {"context": "/nowhere"}}},
    }
    return Stage(
        root=ROOT,
        services=parse(model).service,
        images={"app": image} if image else {},
        known=Background(),
        written=written,
    )


def why(
    *found: ContainerStatus, missing: tuple[str, ...] = (), image: ImageStatus | None = None
) -> tuple[Answer, ...]:
    return explain(StackStatus("demo", found, missing), stage(image))


def test_a_container_that_is_right_is_explained_by_its_evidence(app: ContainerStatus) -> None:
    (found,) = why(app)

    assert (found.subject, found.verdict, found.causes, found.next) == ("app", "fresh", (), "")
    assert found.evidence == (
        "image: it runs 1111, as its service has it",
        "configuration: created from what compose resolves now",
        "mounts: none lies over a copied file",
        "source: its image was built from the files that are here",
    )


def test_an_old_image_is_held_against_the_one_of_today(app: ContainerStatus) -> None:
    image = ImageStatus(
        "app", "demo-app", "sha256:2222", None, Fresh(), "digest", "v1:sha256:ab", "", 0, 0.0
    )
    old = replace(app, image=Stale((Reason("container:demo-app-1", "modified"),)))
    (found,) = why(old, image=image)

    assert found.verdict == "stale"
    assert found.causes[0].how == "runs 1111; its service has 2222 now"
    assert found.next.startswith("inv stack.up")


def test_an_image_that_is_old_itself_names_the_files(app: ContainerStatus) -> None:
    verdict = Stale((Reason("src/app.py", "modified", reader="Dockerfile:2"),))
    image = ImageStatus(
        "app", "demo-app", "sha256:1111", None, verdict, "digest", "v1:sha256:ab", "", 0, 0.0
    )
    (found,) = why(replace(app, source=verdict), image=image)

    assert [cause.what for cause in found.causes] == ["src/app.py"]
    assert found.next.startswith("inv image.build stack.up")


@pytest.mark.parametrize(
    ("path", "change", "how", "place"),
    [
        (
            "environment:LOG_LEVEL",
            "modified",
            "is another one in the compose files",
            Place(FILE, 4, "from ${LEVEL}"),
        ),
        (
            "mount:/app",
            "added",
            "is in the compose files, and not in the container",
            Place(FILE, 6, "decides it"),
        ),
        (
            "command",
            "removed",
            "is in the container, and no longer in the compose files",
            Place(FILE, 7, "decides it"),
        ),
        ("image", "modified", "is another one in the compose files", Place(FILE, 2, "decides it")),
        (
            "healthcheck",
            "modified",
            "is another one in the compose files",
            Place(FILE, 9, "decides it"),
        ),
        (
            "port:80/tcp",
            "added",
            "is in the compose files, and not in the container",
            Place(FILE, 10, "decides it"),
        ),
        ("user", "modified", "is another one in the compose files", Place(FILE, 11, "decides it")),
        (
            "label:team",
            "modified",
            "is another one in the compose files",
            Place(FILE, 12, "decides it"),
        ),
        ("entrypoint", "modified", "is another one in the compose files", None),
        ("environment:UNKNOWN_PLACE", "modified", "is another one in the compose files", None),
        ("service:app", "removed", "the compose files have no such service any more", None),
    ],
)
def test_a_setting_that_drifted_has_the_line_that_decides_it(
    app: ContainerStatus, path: str, change: Any, how: str, place: Place | None
) -> None:
    (found,) = why(replace(app, configuration=Stale((Reason(path, change),))))

    (cause,) = found.causes
    assert (cause.what, cause.how) == (path, how)
    assert cause.places == ((place,) if place else ())


def test_a_mount_that_hides_files_names_them_and_its_line(app: ContainerStatus) -> None:
    mount = MountFact("volume", "", "/app", "demo_code")
    over = tuple(
        Finding(
            Placement(ROOT / f"src/{n}.py", PurePosixPath(f"/app/{n}.py"), derived=False),
            "hidden",
            mount,
        )
        for n in range(5)
    )
    hides = Stale((Reason("mount:/app", "modified"),))
    (found,) = why(replace(app, mounts=hides, findings=over))

    (cause,) = found.causes
    assert cause.what == "mount:/app"
    assert cause.how == (
        "the volume demo_code lies over src/0.py, src/1.py, src/2.py and 2 more, "
        "and shows other bytes"
    )
    assert cause.places == (Place(FILE, 6, "decides it"),)
    assert cause.notes == ("a build does not change that",)


def test_a_mount_that_shows_what_is_here_is_evidence(app: ContainerStatus) -> None:
    mount = MountFact("bind", str(ROOT / "src"), "/app")
    placement = Placement(ROOT / "src/a.py", PurePosixPath("/app/a.py"), derived=False)
    (found,) = why(replace(app, findings=(Finding(placement, "masked", mount),)))

    assert "mounts: 1 copied files are shown as they are here" in found.evidence


def test_what_can_not_be_told_of_a_container_says_why(app: ContainerStatus) -> None:
    (found,) = why(replace(app, image=Unknown("there is no local image")))

    assert found.verdict == "unknown"
    assert "unknown: there is no local image" in found.evidence


def test_a_service_without_a_container_is_missing(app: ContainerStatus) -> None:
    found = why(app, missing=("db",))

    assert [(one.subject, one.verdict) for one in found] == [("app", "fresh"), ("db", "missing")]
    assert found[1].next.startswith("inv stack.up")


def test_one_service_may_be_asked_for(app: ContainerStatus) -> None:
    status = StackStatus("demo", (app,), ("db",))

    assert [one.subject for one in explain(status, stage(), "db")] == ["db"]


def test_a_service_that_has_no_container_is_not_asked(app: ContainerStatus) -> None:
    (found,) = explain(StackStatus("demo", (app,), ()), stage(), "test-runner")

    assert (found.subject, found.verdict) == ("test-runner", "not asked")


def test_where_nothing_is_up_that_is_the_answer() -> None:
    (found,) = nothing_up("test")

    assert (found.subject, found.verdict, found.next) == ("test", "missing", "inv stack.up")
