"""Which local images are a stack's, and which of them may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from unstale.compose import Service, parse
from unstale.facts import ContainerFact, ImageFact
from unstale.image.local import LocalImage, cleaning, full_name, local_images, settled

AT = datetime(2026, 1, 1, tzinfo=UTC)
STACK = parse(
    {
        "name": "demo",
        "services": {
            "app": {"build": {"context": "/p"}},
            "tests": {"image": "example.com/team/tests:dev", "build": {"context": "/p"}},
            "db": {"image": "postgres:17"},
        },
    }
)
BUILT = STACK.built


def _image(number: int, *tags: str, service: str = "") -> ImageFact:
    return ImageFact(
        id=f"sha256:{number}",
        tags=tags,
        created=AT + timedelta(hours=number),
        labels={"com.docker.compose.service": service, "com.docker.compose.project": "demo"}
        if service
        else {},
        size_bytes=1,
        architecture="amd64",
        os="linux",
        working_dir="",
        layers=(),
        environment=(),
    )


APP = _image(1, "demo-app:latest", service="app")
OLD = _image(2, service="app")


def _called(services: tuple[Service, ...], *images: ImageFact) -> Mapping[str, ImageFact]:
    return {s.image: i for s in services for i in images if full_name(s.image) in i.tags}


def test_a_services_images_are_its_named_one_and_those_compose_built_before() -> None:
    older = _image(0, service="app")
    plain = _image(5, "example.com/team/tests:dev")
    strange = _image(6)

    found = local_images(BUILT, _called(BUILT, APP, plain), [older, APP, OLD, strange], [])

    assert [(i.service, i.fact.id, i.is_current) for i in found] == [
        ("app", APP.id, True),
        ("app", OLD.id, False),
        ("app", older.id, False),
        ("tests", plain.id, True),
    ]


def test_named_and_dangling_images_go(container: ContainerFact) -> None:
    plain = _image(5, "example.com/team/tests:dev")
    images = local_images(BUILT, _called(BUILT, APP, plain), [APP, OLD], [container])

    found = cleaning(images, BUILT)

    assert [i.fact.id for i in found.removed] == [APP.id, OLD.id, plain.id]
    assert found.kept == ()


def test_the_images_of_a_service_that_was_renamed_go() -> None:
    named, dangling = _image(3, "demo-api:latest", service="api"), _image(2, service="api")
    bare = _image(4, "another-api:latest", service="api")
    images = local_images(BUILT, _called(BUILT, APP), [APP, named, dangling, bare], [])

    found = cleaning(images, BUILT)

    assert [(i.service, i.fact.id) for i in found.removed] == [
        *(("api", named.id), ("api", dangling.id), ("app", APP.id)),
    ]
    assert [k.why for k in found.kept] == ["also called another-api:latest"]


@pytest.mark.parametrize("status", ["running", "exited", "created"])
def test_an_image_of_any_container_stays(container: ContainerFact, status: str) -> None:
    used = replace(container, image_id=OLD.id, status=status, project="other", name="other-1")

    found = cleaning(local_images(BUILT, _called(BUILT, APP), [APP, OLD], [used]), BUILT)

    assert [i.fact.id for i in found.removed] == [APP.id]
    assert [(k.image.fact.id, k.why) for k in found.kept] == [(OLD.id, "in use by other-1")]


def test_many_users_are_counted(container: ContainerFact) -> None:
    used = [replace(container, image_id=APP.id, name=f"c{n}") for n in range(5)]

    (kept,) = cleaning(local_images(BUILT, _called(BUILT, APP), [], used), BUILT).kept

    assert kept.why == "in use by c0, c1, c2 and 2 more"


@pytest.mark.parametrize(
    "image",
    [
        _image(1, "demo-app:latest", "release:1", service="app"),
        _image(1, "release:1", service="app"),
        _image(1, "demo-app:v1", "release:1", service="app"),
    ],
    ids=["our name and another", "another name alone", "another tag of our name"],
)
def test_an_image_with_a_name_that_is_not_ours_stays(image: ImageFact) -> None:
    (kept,) = cleaning(local_images(BUILT, _called(BUILT, image), [image], []), BUILT).kept

    assert "release:1" in kept.why


def test_two_services_of_one_image_do_not_keep_it_from_going() -> None:
    both = _image(1, "demo-app:latest", "example.com/team/tests:dev", service="app")

    found = cleaning(local_images(BUILT, _called(BUILT, both), [both], []), BUILT)

    assert [i.fact.id for i in found.removed] == [both.id]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("demo-app", "demo-app:latest"),
        ("demo-app:dev", "demo-app:dev"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("docker.io/library/app", "app:latest"),
        ("docker.io/team/app:1", "team/app:1"),
    ],
)
def test_a_name_is_compared_as_the_engine_lists_it(name: str, full: str) -> None:
    assert full_name(name) == full


def test_what_the_engine_refused_to_remove_is_said_to_be_left() -> None:
    plan = cleaning(local_images(BUILT, _called(BUILT, APP), [APP, OLD], []), BUILT)

    found = settled(plan, frozenset({OLD.id}))

    assert [i.fact.id for i in found.removed] == [APP.id]
    assert [(k.image.fact.id, k.why) for k in found.kept] == [
        (OLD.id, "the engine refused: something began to use it")
    ]


def test_a_name_that_stands_for_not_proven_keeps_no_image() -> None:
    image = LocalImage("app", _image(1, "unstale-unproven:demo-app"), is_current=False, users=())

    assert cleaning([image], BUILT).removed == (image,)
