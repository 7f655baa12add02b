"""The image proof with base images from a registry, which is a real one."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout, docker
from registry import Registry, image_id, serve

SETTINGS = """\
[tool.unstale]
schema = "none"

[tool.unstale.environments.test]
compose-files = ["stack.yml"]
runner = "host"
database = "none"
"""
BASE = """\
FROM scratch
ENV SOURCE=src
LABEL flavour=%s
WORKDIR /work
COPY <<EOF /base.txt
%s
EOF
"""

Make = Callable[..., Checkout]


def base(content: str = "one", flavour: str = "plain") -> str:
    """The Dockerfile of a base image."""
    return BASE % (flavour, content)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One registry for all; each test has image names of its own."""
    with serve(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def name() -> str:
    """The name of a base image that nobody else has."""
    return f"base-{uuid.uuid4().hex[:8]}:1"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A project of one image; its objects are removed at the end."""
    made: list[Checkout] = []

    def project(dockerfile: str, service: Any = None, **files: str) -> Checkout:
        root = tmp_path / f"it-{uuid.uuid4().hex[:8]}"
        services = {"app": {"build": {"context": "."}, **(service or {})}}
        texts = {
            "Dockerfile": dockerfile,
            "pyproject.toml": SETTINGS,
            "stack.yml": json.dumps({"services": services}),  # JSON is YAML
            "src/app.txt": "one\n",
            **files,
        }
        for path, text in texts.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        checkout = Checkout(root, program=("-m", "unstale"))
        made.append(checkout)
        return checkout

    yield project
    for checkout in made:
        checkout.inv("image.clean", "--yes").must(0)


def status(checkout: Checkout, *, code: int = 0) -> Any:
    document = checkout.inv("image.status", "--fail-on-stale", "--json").must(code).document()
    return document["services"][0]


def reasons(checkout: Checkout) -> list[str]:
    return [reason["path"] for reason in status(checkout, code=3)["reasons"]]


def read(image: str, path: str) -> str:
    """A file of an image that has no shell."""
    container = docker("create", image, "none").out.strip()
    try:
        archive = subprocess.run(
            ("docker", "cp", f"{container}:{path}", "-"), capture_output=True, check=True
        )
        text = subprocess.run(("tar", "-xO"), input=archive.stdout, capture_output=True, check=True)
        return text.stdout.decode().strip()
    finally:
        docker("rm", container)


def moved(reference: str) -> str:
    return f"whether the tag {reference} has moved in its registry"


def without_manifest(checkout: Checkout, service_image: str) -> None:
    """As on another machine, with a manifest too large for a label."""
    labels = json.loads(
        docker("image", "inspect", "--format", "{{json .Config.Labels}}", service_image).out
    )
    text = f'FROM {service_image}\nLABEL dev.unstale.manifest=""\n'
    assert labels["dev.unstale.inputs"]
    argv = ("docker", "build", "--quiet", "--tag", service_image, "-")
    subprocess.run(argv, input=text.encode(), check=True, capture_output=True)
    shutil.rmtree(checkout.root / ".unstale" / "manifests")


# A base that only the registry has


def test_a_base_that_only_the_registry_has_is_pulled_first(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    checkout = make(f"FROM {reference}\nCOPY src /src\n")
    assert image_id(reference) == ""

    built = checkout.inv("image.build").must(0)

    assert f"pulling {reference}" in built.text
    found = status(checkout)
    assert found["verdict"] == "fresh"
    assert moved(reference) in found["not_covered"]


def test_a_base_is_pulled_before_its_variables_say_what_is_copied(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    checkout = make(f"FROM {reference}\nCOPY $SOURCE/app.txt here/\n")

    checkout.inv("image.build").must(0)

    assert status(checkout)["verdict"] == "fresh"
    checkout.append("src/app.txt", "two\n")
    assert reasons(checkout) == ["src/app.txt"]


def test_services_on_one_another_s_image_are_built_in_order_from_a_pulled_base(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    middle = f"unstale-test/middle-{name}"
    checkout = make(f"FROM {middle}\nCOPY $SOURCE/app.txt there/\n")
    (checkout.root / "Dockerfile.middle").write_text(f"FROM {reference}\nCOPY src /middle\n")
    (checkout.root / "stack.yml").write_text(
        json.dumps(
            {
                "services": {
                    "app": {"build": {"context": "."}},
                    "middle": {
                        "build": {"context": ".", "dockerfile": "Dockerfile.middle"},
                        "image": middle,
                    },
                }
            }
        )
    )

    checkout.inv("image.build").must(0)

    assert status(checkout)["verdict"] == "fresh"


# A base that is gone


def test_a_base_that_was_removed_is_taken_from_the_stamp(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    checkout = make(f"FROM {reference}\nCOPY $SOURCE/app.txt here/\n")
    checkout.inv("image.build").must(0)
    built = status(checkout)

    docker("rmi", reference)

    found = status(checkout)
    assert (found["verdict"], found["inputs"]) == ("fresh", built["inputs"])
    assert moved(reference) in found["not_covered"]
    checkout.append("src/app.txt", "two\n")
    assert reasons(checkout) == ["src/app.txt"]
    checkout.inv("image.build").must(0)
    assert status(checkout)["verdict"] == "fresh"


@pytest.mark.parametrize("source", ["src", "$SOURCE/app.txt"])
def test_without_the_base_and_its_record_it_is_unknown_and_says_so(
    make: Make, registry: Registry, name: str, source: str
) -> None:
    reference = registry.publish(name, base())
    checkout = make(f"FROM {reference}\nCOPY {source} here/\n")
    checkout.inv("image.build").must(0)
    without_manifest(checkout, status(checkout)["image"])
    assert status(checkout)["verdict"] == "fresh"

    docker("rmi", "--force", reference)

    found = status(checkout, code=4)
    assert found["verdict"] == "unknown"
    assert f"the base image {reference} is not on this machine" in found["why"]
    docker("pull", "--quiet", reference)
    assert status(checkout)["verdict"] == "fresh"


def test_another_base_than_the_stamp_s_is_stale_though_it_is_not_here(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    checkout = make(f"FROM {reference}\nCOPY src /src\n")
    checkout.inv("image.build").must(0)

    other = registry.publish(f"other-{name}", base("other"))
    checkout.replace("Dockerfile", reference, other)

    assert status(checkout, code=3)["verdict"] == "stale"


def test_what_is_copied_from_an_image_that_is_gone_is_taken_from_the_stamp(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    checkout = make(f"FROM scratch\nCOPY --from={reference} /base.txt /\nCOPY src /src\n")
    checkout.inv("image.build").must(0)
    assert moved(reference) in status(checkout)["not_covered"]

    docker("rmi", reference)
    assert status(checkout)["verdict"] == "fresh"

    without_manifest(checkout, status(checkout)["image"])
    found = status(checkout, code=4)
    assert f"the base image {reference} is not on this machine" in found["why"]


def test_without_stamp_and_base_a_file_at_another_place_is_not_called_stale(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    checkout = make(f"FROM {reference}\nCOPY src here/\n")
    project = status(checkout, code=3)["image"].removesuffix("-app")
    docker("compose", "-p", project, "-f", str(checkout.root / "stack.yml"), "build")
    assert image_id(reference) == ""

    found = status(checkout, code=4)
    assert f"the base image {reference} is not on this machine" in found["why"]
    docker("pull", "--quiet", reference)
    assert "1 files it copied are equal" in status(checkout, code=4)["why"]


# A platform that is not the engine's


@pytest.mark.parametrize("is_named_by_the_stage", [False, True], ids=["service", "stage"])
def test_a_base_of_another_platform_is_pulled_and_looked_at(
    make: Make, registry: Registry, name: str, is_named_by_the_stage: bool
) -> None:
    own = docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").out.strip()
    foreign = "linux/arm64" if own == "linux/amd64" else "linux/amd64"
    parts = [
        registry.publish(
            f"{platform.replace('/', '-')}-{name}", base(platform), "--platform", platform
        )
        for platform in (own, foreign)
    ]
    reference = registry.name(name)
    docker("buildx", "imagetools", "create", "--tag", reference, *parts)
    docker("pull", "--quiet", reference)  # the engine's own
    flag = f"--platform={foreign} " if is_named_by_the_stage else ""
    service = {} if is_named_by_the_stage else {"platform": foreign}
    checkout = make(f"FROM {flag}{reference}\nCOPY $SOURCE here/\n", service)

    checkout.inv("image.build").must(0)

    found = status(checkout)
    assert found["verdict"] == "fresh"
    docker("pull", "--quiet", "--platform", own, reference)
    assert status(checkout)["verdict"] == "fresh"
    checkout.append("src/app.txt", "two\n")
    assert reasons(checkout) == ["src/app.txt"]


# A tag that moves


@pytest.mark.parametrize(
    ("content", "flavour"), [("two", "plain"), ("one", "sweet")], ids=["moved", "relabelled"]
)
def test_a_moved_tag_is_stale_once_it_is_pulled(
    make: Make, registry: Registry, name: str, content: str, flavour: str
) -> None:
    reference = registry.publish(name, base())
    checkout = make(f"FROM {reference}\nCOPY src /src\n")
    checkout.inv("image.build").must(0)
    layers = layers_of(status(checkout)["image"])

    registry.publish(name, base(content, flavour))
    found = status(checkout)
    assert found["verdict"] == "fresh"
    assert moved(reference) in found["not_covered"]
    docker("pull", "--quiet", reference)

    assert reasons(checkout) == [f"base:{reference}"]
    checkout.inv("image.build").must(0)
    image = status(checkout)["image"]
    assert read(image, "/base.txt") == content
    assert (layers_of(image) == layers) == (content == "one")


def test_pull_asks_for_the_moved_tag_and_the_proof_is_of_what_came(
    make: Make, registry: Registry, name: str
) -> None:
    other = registry.publish(f"other-{name}", base("other"))
    reference = registry.publish(name, base())
    checkout = make(f"FROM {reference}\nCOPY --from={other} /base.txt /other.txt\nCOPY src /src\n")
    checkout.inv("image.build").must(0)
    registry.publish(name, base("two"))
    registry.publish(f"other-{name}", base("another"))

    checkout.inv("image.build", "--pull").must(0)

    image = status(checkout)["image"]
    assert (read(image, "/base.txt"), read(image, "/other.txt")) == ("two", "another")
    for reference_ in (reference, other):
        docker("rmi", "--force", reference_)
    assert status(checkout)["verdict"] == "fresh"


def test_pull_leaves_a_base_alone_that_no_registry_has(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    middle = f"unstale-test/middle-{name}"
    subprocess.run(
        ("docker", "build", "--quiet", "--tag", middle, "-"),
        input=f"FROM {reference}\nENV LOCAL=yes\n".encode(),
        check=True,
        capture_output=True,
    )
    checkout = make(f"FROM {middle}\nCOPY src /src\n")
    try:
        checkout.inv("image.build", "--pull").must(0)
        assert status(checkout)["verdict"] == "fresh"
    finally:
        docker("rmi", "--force", middle)


def test_a_base_by_digest_can_not_move(make: Make, registry: Registry, name: str) -> None:
    reference = registry.publish(name, base())
    docker("pull", "--quiet", reference)
    digests = docker("image", "inspect", "--format", "{{json .RepoDigests}}", reference).out
    (pinned,) = json.loads(digests)
    docker("rmi", reference)
    checkout = make(f"FROM {pinned}\nCOPY src /src\n")

    checkout.inv("image.build").must(0)

    assert status(checkout)["not_covered"] == []
    docker("rmi", pinned)
    assert status(checkout)["not_covered"] == []


# A stamp that lies


def test_a_stamp_on_another_base_s_layers_is_found(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    checkout = make(f"FROM {reference}\nCOPY src /src\n")
    checkout.inv("image.build").must(0)
    image = status(checkout)["image"]
    labels = json.loads(
        docker("image", "inspect", "--format", "{{json .Config.Labels}}", image).out
    )
    other = registry.publish(f"other-{name}", base("other"))
    (checkout.root / "lie").write_text(f"FROM {other}\nCOPY src /src\n")
    flags = [f"--label={key}={value}" for key, value in labels.items()]
    docker("build", "--quiet", "--tag", image, "--file", str(checkout.root / "lie"), *flags,
           str(checkout.root))  # fmt: skip

    assert reasons(checkout) == [f"base:{reference}"]
    docker("rmi", reference)
    assert reasons(checkout) == [f"base:{reference}"]
    checkout.inv("image.build").must(0)
    assert status(checkout)["verdict"] == "fresh"


# An image that travels


def test_an_image_that_was_pulled_names_its_reasons_and_is_proven_anew(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    service = {"image": registry.name(f"app-{name}")}
    first = make(f"FROM {reference}\nCOPY $SOURCE here/\n", service)
    first.inv("image.build").must(0)
    stamp = status(first)["inputs"]
    registry.push(f"app-{name}")
    docker("rmi", "--force", reference, service["image"])
    shutil.rmtree(first.root / ".unstale")

    second = make(f"FROM {reference}\nCOPY $SOURCE here/\n", service)
    assert status(second, code=3)["verdict"] == "missing"
    docker("pull", "--quiet", service["image"])

    found = [status(second) for _ in range(2)]
    assert [(s["verdict"], s["method"]) for s in found] == [
        ("fresh", "content"),
        ("fresh", "digest"),
    ]
    assert found[0]["inputs"] == stamp
    second.append("src/app.txt", "two\n")
    (second.root / "src" / "new.txt").write_text("new\n")
    assert reasons(second) == ["src/app.txt", "src/new.txt"]


# A layer cache from the registry


def test_a_layer_cache_from_the_registry_leaves_the_verdict_as_it_is(
    make: Make, registry: Registry, name: str
) -> None:
    reference = registry.publish(name, base())
    image = registry.name(f"app-{name}")
    build = {"context": ".", "cache_from": [image], "cache_to": ["type=inline"]}
    text = f"FROM {reference}\nCOPY src /src\nCOPY src/app.txt /last.txt\n"
    checkout = make(text, {"build": build, "image": image})
    checkout.inv("image.build").must(0)
    registry.push(f"app-{name}")
    docker("rmi", "--force", image)

    again = checkout.inv("image.build").must(0)

    assert f"importing cache manifest from {image}" in again.text
    assert status(checkout)["verdict"] == "fresh"
    checkout.append("src/app.txt", "two\n")
    assert reasons(checkout) == ["src/app.txt"]
    checkout.inv("image.build").must(0)
    assert read(image, "/last.txt") == "one\ntwo"
    assert status(checkout)["verdict"] == "fresh"


def layers_of(image: str) -> Any:
    return json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image).out)
