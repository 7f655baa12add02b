"""The image proof on the real engine, with images of a few bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout, copy_images_env, docker

SETTINGS = """\
[tool.unstale]
schema = "none"

[tool.unstale.environments.test]
compose-files = ["stack.yml"]
runner = "host"
database = "none"
"""
SCRATCH = "FROM scratch\nCOPY src /src\n"
WITH_RUN = """\
ARG UNSTALE_PYTHON_IMAGE
FROM ${UNSTALE_PYTHON_IMAGE}
COPY src /src
RUN %s
"""
ARGS = {"UNSTALE_PYTHON_IMAGE": "${UNSTALE_PYTHON_IMAGE:-python:3.13-slim}"}

Make = Callable[..., Checkout]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A project of one image; its objects are removed at the end."""
    made: list[Checkout] = []

    def project(dockerfile: str = SCRATCH, files: dict[str, str] | None = None) -> Checkout:
        root = tmp_path / f"it-{uuid.uuid4().hex[:8]}"
        texts = {
            "Dockerfile": dockerfile,
            "pyproject.toml": SETTINGS,
            # JSON is YAML.
            "stack.yml": json.dumps(
                {"services": {"app": {"build": {"context": ".", "args": ARGS}}}}
            ),
            "src/app.txt": "one\n",
            "docs/index.txt": "hello\n",
            **(files or {}),
        }
        for name, text in texts.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        copy_images_env(root)
        checkout = Checkout(root, program=("-m", "unstale"))
        made.append(checkout)
        return checkout

    yield project
    for checkout in made:
        if checkout.root.exists():
            checkout.inv("image.clean", "--yes").must(0)


def status(checkout: Checkout, *, code: int = 0) -> Any:
    document = checkout.inv("image.status", "--fail-on-stale", "--json").must(code).document()
    return document["services"][0]


def labels(checkout: Checkout) -> dict[str, str]:
    name = status(checkout)["image"]
    found = docker("image", "inspect", "--format", "{{json .Config.Labels}}", name).out
    return {k: v for k, v in json.loads(found).items() if k.startswith("dev.unstale")}


def plain_build(checkout: Checkout) -> None:
    """What somebody without unstale types, for the image that unstale looks at."""
    project = status(checkout, code=3)["image"].removesuffix("-app")
    env_file = checkout.root / ".unstale" / "images.env"
    options = ("--env-file", str(env_file)) if env_file.exists() else ()
    file = ("-f", str(checkout.root / "stack.yml"))
    docker("compose", "-p", project, *file, *options, "build")


def test_without_git_a_change_is_found_and_only_that_of_what_is_read(make: Make) -> None:
    checkout = make()
    checkout.inv("image.build").must(0)

    checkout.append("docs/index.txt", "more\n")
    assert status(checkout)["verdict"] == "fresh"
    (checkout.root / "src" / "app.txt").chmod(0o600)
    (reason,) = status(checkout, code=3)["reasons"]

    assert (reason["path"], reason["change"], reason["reader"], reason["commit"]) == (
        "src/app.txt",
        "mode",
        "Dockerfile:2",
        None,
    )


def test_a_file_that_git_ignores_is_an_input_where_it_is_copied(make: Make) -> None:
    checkout = make(files={".gitignore": "src/generated.txt\n", "src/generated.txt": "1\n"})
    checkout.git("init", "--quiet")
    checkout.git("add", "--all")
    checkout.git("commit", "--quiet", "--message", "Begin")
    checkout.inv("image.build").must(0)

    checkout.append("src/generated.txt", "2\n")

    (reason,) = status(checkout, code=3)["reasons"]
    assert (reason["path"], reason["change"]) == ("src/generated.txt", "modified")


def test_clone_worktree_and_shallow_clone_have_one_digest(make: Make, tmp_path: Path) -> None:
    checkout = make()
    checkout.git("init", "--quiet")
    for text in ("two\n", "three\n"):
        checkout.append("src/app.txt", text)
        checkout.git("add", "--all")
        checkout.git("commit", "--quiet", "--message", f"Add {text.strip()}")
    checkout.git("worktree", "add", "--quiet", str(tmp_path / "worktree"))
    shallow = ("--depth=1", f"file://{checkout.root}", str(tmp_path / "shallow"))
    subprocess.run(("git", "clone", "--quiet", *shallow), check=True)

    found = {status(checkout, code=3)["inputs"]}
    for name in ("worktree", "shallow"):
        copy_images_env(tmp_path / name)
        found.add(status(Checkout(tmp_path / name, ("-m", "unstale")), code=3)["inputs"])

    assert len(found) == 1


def test_an_edit_in_a_submodule_is_found_and_its_commit_named(make: Make, tmp_path: Path) -> None:
    library = Checkout(tmp_path / "library", ())
    library.root.mkdir()
    library.append("lib.txt", "one\n")
    library.git("init", "--quiet")
    library.git("add", "--all")
    library.git("commit", "--quiet", "--message", "Begin a library")
    checkout = make("FROM scratch\nCOPY library /library\n")
    checkout.git("init", "--quiet")
    allow = ("-c", "protocol.file.allow=always")
    checkout.git(*allow, "submodule", "--quiet", "add", str(library.root), "library")
    checkout.git("add", "--all")
    checkout.git("commit", "--quiet", "--message", "Begin")
    checkout.inv("image.build").must(0)

    inner = Checkout(checkout.root / "library", ())
    inner.append("lib.txt", "two\n")
    inner.git("commit", "--quiet", "--all", "--message", "Change the library")

    (reason,) = status(checkout, code=3)["reasons"]
    assert reason["path"] == "library/lib.txt"
    assert reason["commit"] == inner.git("rev-parse", "--short", "HEAD").strip()


def test_an_image_without_stamp_and_shell_is_compared_by_its_bytes(make: Make) -> None:
    checkout = make()
    plain_build(checkout)

    equal = status(checkout, code=4)
    assert (equal["verdict"], equal["method"]) == ("unknown", "content")
    assert "1 files it copied are equal" in equal["why"]
    checkout.append("src/app.txt", "two\n")
    changed = status(checkout, code=3)

    assert (changed["verdict"], changed["method"]) == ("stale", "content")
    assert [r["path"] for r in changed["reasons"]] == ["src/app.txt"]


def test_where_nothing_can_be_compared_only_times_are_left(make: Make) -> None:
    checkout = make("FROM scratch\nCOPY <<EOF /made\nhello\nEOF\n")
    plain_build(checkout)

    found = status(checkout, code=4)

    assert (found["verdict"], found["method"]) == ("unknown", "time")


def test_the_same_inputs_give_the_same_stamp_and_it_names_reasons_elsewhere(make: Make) -> None:
    checkout = make()
    checkout.inv("image.build").must(0)
    first = labels(checkout)
    checkout.inv("image.build", "--all", "--no-cache").must(0)
    assert labels(checkout) == first
    # As on another machine, which has only the image.
    for name in ("manifests", "proofs", "stat", "builds", "contexts"):
        shutil.rmtree(checkout.root / ".unstale" / name)
    assert status(checkout)["method"] == "content"
    assert status(checkout)["method"] == "digest"

    (checkout.root / "src" / "new.txt").write_text("new\n")
    (checkout.root / "src" / "app.txt").unlink()

    reasons = {(r["path"], r["change"]) for r in status(checkout, code=3)["reasons"]}
    assert reasons == {("src/new.txt", "added"), ("src/app.txt", "removed")}


def test_a_manifest_too_large_for_a_label_stays_in_the_checkout(make: Make) -> None:
    many = {f"src/{uuid.uuid4().hex}.txt": str(number) for number in range(3000)}
    checkout = make(files=many)
    checkout.inv("image.build").must(0)
    assert labels(checkout)["dev.unstale.manifest"] == ""

    checkout.append("src/app.txt", "two\n")

    assert [r["path"] for r in status(checkout, code=3)["reasons"]] == ["src/app.txt"]
    shutil.rmtree(checkout.root / ".unstale" / "manifests")
    assert [r["path"] for r in status(checkout, code=3)["reasons"]] == ["src/app.txt"]


def test_what_unstale_writes_makes_no_image_stale_that_copies_everything(make: Make) -> None:
    checkout = make("FROM scratch\nCOPY . /app\n")
    checkout.inv("image.build").must(0)
    first = status(checkout)
    checkout.inv("image.build", "--all").must(0)

    assert status(checkout)["inputs"] == first["inputs"]
    held = checkout.inv("image.verify", "--path", "/app/.unstale", "--json").must(3).document()
    assert held["verdict"] == "stale"


def test_a_tree_that_moves_during_the_build_gets_no_stamp(make: Make) -> None:
    # Its name keeps an earlier result out of the way.
    checkout = make(WITH_RUN % f"sleep 4; : {uuid.uuid4().hex}")
    name = status(checkout, code=3)["image"]

    build = checkout.start("image.build")
    build.wait_for("RUN sleep 4")
    checkout.append("src/app.txt", "two\n")
    result = build.end().must(4)

    assert "changed while the build was going on" in result.err
    assert docker("image", "inspect", name, code=None).code != 0


def test_what_a_run_rewrites_is_found_out_once_and_known_later(make: Make) -> None:
    checkout = make(WITH_RUN % "echo rewritten >> /src/app.txt")
    first = checkout.inv("image.build").must(0)
    assert "sent anew" in first.text
    assert status(checkout)["verdict"] == "fresh"

    checkout.append("src/app.txt", "two\n")

    assert "sent anew" not in checkout.inv("image.build").must(0).text
    assert status(checkout)["verdict"] == "fresh"


def test_a_build_with_other_arguments_gets_no_stamp(make: Make) -> None:
    checkout = make()
    checkout.inv("image.build", "--build-arg", "FLAVOUR=sweet").must(0)

    assert status(checkout, code=4)["method"] == "content"


@pytest.mark.parametrize(
    ("dockerfile", "why"),
    [
        ("FROM scratch\nADD http://192.0.2.1/x /x\nCOPY src /src\n", "ADD http://192.0.2.1/x"),
        ("# syntax=example.com/frontend:1\nFROM scratch\nCOPY src /src\n", "# syntax="),
        ("FROM scratch\nCOPY [a- /src\n", "pattern"),
        ("FROM scratch\nCOPY --sideways src /src\n", "sideways"),
        ("FROM example.com/none:1\nCOPY src /src\n", "example.com/none:1"),
    ],
)
def test_what_cannot_be_told_is_unknown_with_its_reason(
    make: Make, dockerfile: str, why: str
) -> None:
    checkout = make()
    checkout.inv("image.build").must(0)
    stamp = status(checkout)["inputs"]
    (checkout.root / "Dockerfile").write_text(dockerfile)
    changed = status(checkout, code=3)
    assert changed["inputs"] != stamp
    name = changed["image"]
    # As if it had been built from that: the stamp is right, and proves nothing.
    text = f"FROM {name}\nLABEL dev.unstale.inputs={changed['inputs']}\n"
    done = subprocess.run(
        ("docker", "build", "--quiet", "--tag", name, "-"), input=text.encode(), check=True
    )
    assert done.returncode == 0

    found = status(checkout, code=4)

    assert found["verdict"] == "unknown"
    assert why in found["why"]


TABLE = [
    ("docker/service/accounts/settings.py", {"app", "test-runner"}),
    ("tests/api/test_schema.py", {"test-runner"}),
    ("docker/service/requirements.lock", {"app", "test-runner"}),
    ("docker/service/requirements-test.lock", {"test-runner"}),
    ("docs/architecture.md", set()),
    ("env/.env.test", set()),
    ("docker/docker-compose.ci.yml", set()),
]


@pytest.mark.parametrize(("path", "stale"), TABLE, ids=[path for path, _ in TABLE])
def test_the_table_of_what_needs_a_rebuild(stack: Checkout, path: str, stale: set[str]) -> None:
    stack.append(path, "\n# A comment of the table's test.\n")

    found = stack.inv("image.status", "--json").must(0).document()["services"]

    assert {s["service"] for s in found if s["verdict"] == "stale"} == stale


def test_the_dockerfile_counts_as_a_program_and_not_as_a_text(stack: Checkout) -> None:
    before = stack.inv("image.status", "--json").must(0).document()["services"]
    stack.append("docker/Dockerfile", "\n# A comment.\n")
    stack.inv("image.status", "--fail-on-stale").must(0)
    stack.replace("docker/Dockerfile", "UNSTALE_IN_CONTAINER=1", "UNSTALE_IN_CONTAINER=2")

    found = stack.inv("image.status", "--json").must(0).document()["services"]

    assert {s["service"] for s in found if s["verdict"] == "stale"} == {"test-runner"}
    (reason,) = next(s for s in found if s["service"] == "test-runner")["reasons"]
    assert reason["path"] == "docker/Dockerfile"
    assert [s["dependencies"] for s in found] != [s["dependencies"] for s in before]


def test_the_dependencies_digest_is_that_of_what_a_run_reads(stack: Checkout) -> None:
    def dependencies() -> list[str]:
        services = stack.inv("image.status", "--json").must(0).document()["services"]
        return [s["dependencies"] for s in services]

    before = dependencies()
    stack.append("docker/service/accounts/settings.py", "\n# A comment.\n")
    assert dependencies() == before
    stack.append("docker/service/requirements.lock", "\n# A comment.\n")

    assert dependencies() != before


def test_a_secret_build_argument_is_in_no_line_label_or_file(make: Make) -> None:
    secret = "heron-of-the-arguments"
    text = WITH_RUN.replace("COPY", "ARG API_TOKEN\nCOPY") % 'echo "token is $API_TOKEN"'
    checkout = make(text)
    model = {
        "services": {"app": {"build": {"context": ".", "args": {**ARGS, "API_TOKEN": secret}}}}
    }
    (checkout.root / "stack.yml").write_text(json.dumps(model))

    shown = checkout.inv("image.build").must(0).text
    shown += checkout.inv("image.status", "--json").must(0).text
    shown += checkout.inv("image.list", "--history").must(0).text
    checkout.replace("Dockerfile", "RUN echo", "RUN no-such-program; exit 3; echo")
    shown += checkout.inv("image.build").must(5).text
    shown += checkout.inv("image.build", "--build-arg", f"API_TOKEN={secret}-2").must(5).text

    assert "token is ********" in shown
    assert secret not in shown
    files = (p for p in (checkout.root / ".unstale").rglob("*") if p.is_file())
    assert [p for p in files if secret.encode() in p.read_bytes()] == []


def test_an_inline_dockerfile_that_copies_everything_leaves_the_state_out(make: Make) -> None:
    checkout = make()
    build = {"context": ".", "dockerfile_inline": "FROM scratch\nCOPY . /app\n"}
    (checkout.root / "stack.yml").write_text(json.dumps({"services": {"app": {"build": build}}}))
    checkout.inv("image.build").must(0)
    assert status(checkout)["verdict"] == "fresh"

    checkout.inv("image.verify", "--path", "/app/src/app.txt").must(0)
    checkout.inv("image.verify", "--path", "/app/.unstale").must(3)
