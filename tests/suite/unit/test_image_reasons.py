"""Why the digest of an image and that of the tree differ, in words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout, image_fact

from unstale.image.manifest import manifest
from unstale.image.reasons import Readers, differences
from unstale.verdict import Reason

TEXT = """\
FROM base AS build
COPY lock /
RUN make
FROM base
COPY --from=build /out /out
COPY src /app/
COPY conf/*.toml /etc/
CMD ["app"]
"""


@pytest.fixture
def tree(checkout: Checkout) -> Checkout:
    checkout.images["base"] = image_fact("sha256:base")
    files = {"lock": "1", "src/app.py": "1", "src/pkg/mod.py": "", "conf/a.toml": "", "docs/a": ""}
    return checkout.write({**files, "Dockerfile": TEXT})


def reasons(
    tree: Checkout, edit: Callable[[Checkout], object], **options: Any
) -> tuple[Reason, ...]:
    """What is said after *edit*; *options* are those of the second build."""
    before = tree.inputs()
    edit(tree)
    after = tree.inputs(**options)
    assert before.digest != after.digest
    return differences(manifest(before), after, tree.root)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda t: t.write({"src/app.py": "2"}), [("src/app.py", "modified", 6)]),
        (lambda t: (t.root / "src/app.py").chmod(0o755), [("src/app.py", "mode", 6)]),
        (lambda t: (t.root / "src/pkg").chmod(0o700), [("src/pkg", "mode", 6)]),
        (lambda t: t.write({"src/new.py": ""}), [("src/new.py", "added", 6)]),
        (lambda t: (t.root / "src/app.py").unlink(), [("src/app.py", "removed", 6)]),
        (lambda t: (t.root / "conf/a.toml").unlink(), [("conf/a.toml", "removed", 7)]),
        (lambda t: t.write({"conf/b.toml": ""}), [("conf/b.toml", "added", 7)]),
        (lambda t: t.write({"lock": "2"}), [("lock", "modified", 2)]),
        (
            lambda t: (t.root / "src/app.py").rename(t.root / "src/main.py"),
            [("src/app.py", "removed", 6), ("src/main.py", "added", 6)],
        ),
    ],
)
def test_a_file_is_named_with_its_change_and_the_line_that_reads_it(
    tree: Checkout, edit: Callable[[Checkout], object], expected: list[tuple[str, str, int]]
) -> None:
    assert list(reasons(tree, edit)) == [
        Reason(path, change, reader=f"Dockerfile:{line}")  # type: ignore[arg-type]
        for path, change, line in expected
    ]


def test_a_file_that_became_a_link_is_modified(tree: Checkout) -> None:
    def edit(tree: Checkout) -> None:
        (tree.root / "src/app.py").unlink()
        (tree.root / "src/app.py").symlink_to("pkg/mod.py")

    assert [(r.path, r.change) for r in reasons(tree, edit)] == [("src/app.py", "modified")]


def test_a_copied_folder_that_is_gone_is_still_traced_to_its_line(tree: Checkout) -> None:
    before = tree.inputs()
    tree.write({"src2/x": "", "Dockerfile": TEXT.replace("COPY src ", "COPY src* ")})
    shutil.rmtree(tree.root / "src")

    found = differences(manifest(before), tree.inputs(), tree.root)

    assert Reason("src/app.py", "removed", reader="Dockerfile:6") in found


def test_a_step_is_named_by_the_first_line_that_differs(tree: Checkout) -> None:
    text = TEXT.replace("RUN make", "RUN make all").replace("/etc/", "/conf/")

    assert reasons(tree, lambda t: t.write({"Dockerfile": text})) == (
        Reason("Dockerfile", "modified", reader="Dockerfile:3"),
    )


def test_a_step_that_is_gone_at_the_end_has_no_line(tree: Checkout) -> None:
    text = TEXT.replace("COPY conf/*.toml /etc/\n", "")

    assert reasons(tree, lambda t: t.write({"Dockerfile": text})) == (
        Reason("conf/a.toml", "removed"),
        Reason("Dockerfile", "modified"),
    )


def test_what_an_image_only_says_of_itself_is_its_configuration(tree: Checkout) -> None:
    text = TEXT.replace('app"]', 'serve"]')

    assert reasons(tree, lambda t: t.write({"Dockerfile": text})) == (
        Reason("Dockerfile", "configuration"),
    )


@pytest.mark.parametrize(
    "fact",
    [
        image_fact("sha256:moved"),
        image_fact("sha256:base", Entrypoint=["x"]),
        image_fact("sha256:base", labels={"a": "b"}),
        image_fact("sha256:moved", Env=["VERSION=2"]),
    ],
    ids=["layers", "entrypoint", "label", "variable"],
)
def test_a_base_image_that_moved_is_named_and_not_the_dockerfile(tree: Checkout, fact: Any) -> None:
    found = reasons(tree, lambda t: t.images.update(base=fact))

    assert found == (Reason("base:base", "modified"),)


def test_a_base_image_that_moved_hides_no_file_and_no_other_base(tree: Checkout) -> None:
    def edit(tree: Checkout) -> None:
        tree.images["new"] = image_fact("sha256:new", Env=["VERSION=2"])
        tree.write({"lock": "2", "Dockerfile": TEXT.replace("FROM base\n", "FROM new\n")})

    found = [(r.path, r.change) for r in reasons(tree, edit)]

    assert found == [
        ("lock", "modified"),
        ("Dockerfile", "configuration"),
        ("base:new", "modified"),
    ]


def test_what_no_manifest_may_hold_is_the_builds_arguments(tree: Checkout) -> None:
    tree.write({"Dockerfile": f"{TEXT}ARG API_TOKEN\nRUN x\n"})

    found = reasons(tree, lambda _: None, args=(("API_TOKEN", "hunter2"),))

    assert found == (Reason("build arguments", "configuration"),)


def test_an_argument_that_is_no_secret_is_traced_to_the_step_that_sees_it(
    tree: Checkout,
) -> None:
    tree.write({"Dockerfile": f"{TEXT}ARG LEVEL\nRUN x\n"})

    found = reasons(tree, lambda _: None, args=(("LEVEL", "2"),))

    assert found == (Reason("Dockerfile", "modified", reader="Dockerfile:10"),)


def test_paths_are_relative_to_the_project_and_the_dockerfile_may_lie_elsewhere(
    tree: Checkout,
) -> None:
    before = tree.inputs()
    tree.write({"src/app.py": "2"})

    found = differences(manifest(before), tree.inputs(), tree.root.parent)

    assert found == (Reason("checkout/src/app.py", "modified", reader="checkout/Dockerfile:6"),)


def test_a_file_of_an_additional_context_is_named_by_where_it_lies(
    tree: Checkout, tmp_path: Path
) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / "x").write_text("1")
    options = {"additional_contexts": (("lib", str(lib)),)}
    tree.write({"Dockerfile": "FROM base\nCOPY --from=lib x /\nCOPY docs /d\n"})
    before = tree.inputs(**options)
    (lib / "x").write_text("2")

    found = differences(manifest(before), tree.inputs(**options), tree.root)

    assert found == (Reason("../lib/x", "modified", reader="Dockerfile:2"),)


def test_an_inline_dockerfile_is_called_so(tree: Checkout) -> None:
    before = tree.inputs(dockerfile_inline=TEXT)
    tree.write({"src/app.py": "2"})

    found = differences(manifest(before), tree.inputs(dockerfile_inline=TEXT), tree.root)

    assert [reason.reader for reason in found] == ["dockerfile_inline:6"]


def test_a_path_that_nothing_reads_has_no_line(tree: Checkout) -> None:
    known = Readers.of(tree.inputs())

    assert known.line("", "docs/a") == 0
    assert known.line("lib", "src/app.py") == 0
    assert known.line("", "srcs/app.py") == 0
