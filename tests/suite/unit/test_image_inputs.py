"""What changes the digest of a build's inputs, and what does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout, image_fact

from unstale.compose import BuildSpec, parse
from unstale.errors import MissingFile
from unstale.image.contexts import Contexts
from unstale.image.inputs import build_inputs

PROJECT = Path(__file__).parents[3]

Edit = Callable[[Path], object]

FILES = {
    "src/app.py": "print(1)",
    "src/run.sh": "true",
    "src/pkg/mod.py": "x = 1",
    "docs/index.md": "hello",
    "a/f": "same",
    "a/g": "same",
    "a/deep/f": "same",
    "b/f": "same",
    "b/g": "same",
    ".dockerignore": "**/*.pyc\n",
}
BASE = image_fact("sha256:base", Env=["PATH=/bin", "WHERE=src", "API_TOKEN=hidden"])


@pytest.fixture
def tree(checkout: Checkout) -> Checkout:
    """A context with files, and two local images of one content."""
    checkout.images |= {"base": BASE, "base:latest": BASE, "tools": image_fact("sha256:tools")}
    return checkout.write(FILES)


def link(place: Path, target: str) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def twin(root: Path) -> None:
    """Make one of two equal files a hard link to the other."""
    (root / "a/g").unlink()
    (root / "a/g").hardlink_to(root / "a/f")


def before_and_after(tree: Checkout, text: str, edit: Edit, **options: Any) -> tuple[str, str]:
    before = tree.digest(text, **options)
    edit(tree.root)
    return before, tree.digest(**options)


# --- Files and their attributes ---

SRC = "FROM base\nCOPY src /o/\n"
CHANGING: dict[str, tuple[str, Edit]] = {
    "content": (SRC, lambda r: (r / "src/app.py").write_text("print(2)")),
    "group may write": (SRC, lambda r: (r / "src/app.py").chmod(0o664)),
    "owner only": (SRC, lambda r: (r / "src/app.py").chmod(0o600)),
    "executable": (SRC, lambda r: (r / "src/app.py").chmod(0o755)),
    "setuid": (SRC, lambda r: (r / "src/app.py").chmod(0o4644)),
    "sticky": (SRC, lambda r: (r / "src/app.py").chmod(0o1644)),
    "mode under --chmod": (
        "FROM base\nCOPY --chmod=600 src /o/\n",
        lambda r: (r / "src/app.py").chmod(0o600),
    ),
    "mode of a folder": (SRC, lambda r: (r / "src/pkg").chmod(0o700)),
    "mode of the copied folder": (SRC, lambda r: (r / "src").chmod(0o700)),
    "new file": (SRC, lambda r: (r / "src/new.py").write_text("")),
    "new empty folder": (SRC, lambda r: (r / "src/empty").mkdir()),
    "removed file": (SRC, lambda r: (r / "src/pkg/mod.py").unlink()),
    "rename": (SRC, lambda r: (r / "src/app.py").rename(r / "src/main.py")),
    "rename though the destination is fixed": (
        "FROM base\nCOPY src/ap* /o/f\n",
        lambda r: (r / "src/app.py").rename(r / "src/apq.py"),
    ),
    "new match of a pattern": (
        "FROM base\nCOPY src/*.py /o/\n",
        lambda r: (r / "src/b.py").write_text(""),
    ),
    "first match of a pattern": (
        "FROM base\nCOPY src/app.py poetry.loc[k] /o/\n",
        lambda r: (r / "poetry.lock").write_text(""),
    ),
    "link added": (SRC, lambda r: link(r / "src/link", "app.py")),
    "link in place of its target": (SRC, lambda r: link(r / "src/run.sh", "app.py")),
    "fifo": (SRC, lambda r: os.mkfifo(r / "src/fifo")),
    "name that is not UTF-8": (SRC, lambda r: (r / "src/\udcff").touch()),
    "name with a line feed": (SRC, lambda r: (r / "src/a\nb").touch()),
    "what a bind mount shows": (
        "FROM base\nRUN --mount=type=bind,source=docs,target=/d true\n",
        lambda r: (r / "docs/index.md").write_text("bye"),
    ),
    "anything under a bind mount without a source": (
        "FROM base\nRUN --mount=target=/d true\n",
        lambda r: (r / "docs/index.md").write_text("bye"),
    ),
    "anything under an empty variable": (
        "ARG DIR=src\nFROM base\nCOPY $DIR /o/\n",
        lambda r: (r / "docs/index.md").write_text("bye"),
    ),
    "a local archive that ADD unpacks": (
        "FROM base\nADD docs/index.md /o/\n",
        lambda r: (r / "docs/index.md").write_text("bye"),
    ),
    "what a copied stage reads": (
        "FROM base AS build\nCOPY src /s/\nFROM scratch\nCOPY --from=build /nothing /n\n",
        lambda r: (r / "src/app.py").write_text("print(2)"),
    ),
    "what a stage reads that a RUN mounts": (
        "FROM base AS build\nCOPY src /s/\nFROM base\nRUN --mount=from=build,target=/m true\n",
        lambda r: (r / "src/app.py").write_text("print(2)"),
    ),
    "what a parent stage reads": (
        "FROM base AS build\nCOPY src /s/\nFROM build\n",
        lambda r: (r / "src/app.py").write_text("print(2)"),
    ),
}


@pytest.mark.parametrize(("text", "edit"), CHANGING.values(), ids=CHANGING)
def test_the_digest_changes_with(tree: Checkout, text: str, edit: Edit) -> None:
    before, after = before_and_after(tree, text, edit)

    assert before != after


KEEPING: dict[str, tuple[str, Edit]] = {
    "time of a file": (SRC, lambda r: os.utime(r / "src/app.py", (1, 1))),
    "time of a folder": (SRC, lambda r: os.utime(r / "src/pkg", (1, 1))),
    "file that is not copied": (SRC, lambda r: (r / "docs/index.md").write_text("bye")),
    "file that is left out": (SRC, lambda r: (r / "src/app.pyc").write_text("cache")),
    "mode of the context": (
        "FROM base\nCOPY . /o/\n",
        lambda r: r.chmod(0o700),
    ),
    "mode of a parent of a copied file": (
        "FROM base\nCOPY src/pkg/mod.py /o/\n",
        lambda r: (r / "src").chmod(0o700),
    ),
    "hard link in place of an equal file": ("FROM base\nCOPY a /o/\n", twin),
    "stage that is not reached": (
        "FROM base AS other\nCOPY docs /d/\nFROM base\nCOPY src /o/\n",
        lambda r: (r / "docs/index.md").unlink(),
    ),
    "comment in a Dockerfile that is left out of a copied context": (
        "FROM base\nCOPY src /o/\n",
        lambda r: (r / "Dockerfile").write_text("# why\n" + SRC),
    ),
    "comment in the ignore file": (
        SRC,
        lambda r: (r / ".dockerignore").write_text("# only python's\n**/*.pyc"),
    ),
    "file below one name beside a pattern": (
        "FROM base\nCOPY */f /o/\n",
        lambda r: (r / "a/g").write_text("other"),
    ),
}


@pytest.mark.parametrize(("text", "edit"), KEEPING.values(), ids=KEEPING)
def test_the_digest_stays_with_another(tree: Checkout, text: str, edit: Edit) -> None:
    before, after = before_and_after(tree, text, edit)

    assert before == after


def test_two_checkouts_of_one_content_have_one_digest(tree: Checkout, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = type(tree)(tmp_path / "elsewhere", tree.images).write(FILES)

    assert other.digest(SRC) == tree.digest(SRC)


# --- Links ---


def test_a_link_that_is_copied_counts_by_what_it_leads_to(tree: Checkout) -> None:
    text = "FROM base\nCOPY link /o/f\n"
    link(tree.root / "link", "docs/index.md")
    before, after = before_and_after(tree, text, lambda r: (r / "docs/index.md").write_text("bye"))
    assert before != after

    (tree.root / "docs/copy.md").write_text("bye")
    link(tree.root / "link", "/docs/copy.md")
    assert tree.digest(text) == after


def test_a_link_inside_a_copied_folder_counts_by_its_target_alone(tree: Checkout) -> None:
    link(tree.root / "src/link", "../docs/index.md")
    link(tree.root / "src/out", "/etc/hostname")
    before, after = before_and_after(tree, SRC, lambda r: (r / "docs/index.md").write_text("bye"))
    assert before == after

    link(tree.root / "src/link", "../docs/other.md")
    assert tree.digest(SRC) != after


def test_a_path_through_a_linked_folder_is_followed(tree: Checkout) -> None:
    link(tree.root / "dir", "src/pkg")
    text = "FROM base\nCOPY dir/mod.py /o/\n"

    before, after = before_and_after(
        tree, text, lambda r: (r / "src/pkg/mod.py").write_text("x = 2")
    )

    assert before != after


@pytest.mark.parametrize("target", ["/../../etc/hostname", "nowhere", "docs/left.pyc"])
def test_a_copied_link_that_leads_nowhere_can_not_be_told(tree: Checkout, target: str) -> None:
    (tree.root / "docs/left.pyc").touch()
    link(tree.root / "link", target)

    assert tree.inputs("FROM base\nCOPY link /o/f\n").unknown == (
        "link is not in the build context, or leads out of it",
    )


# --- The ignore file ---


def test_a_rule_that_takes_a_file_away_changes_the_digest(tree: Checkout) -> None:
    before, after = before_and_after(
        tree, SRC, lambda r: (r / ".dockerignore").write_text("src/pkg")
    )

    assert before != after


def test_the_dockerfiles_own_ignore_file_wins_even_if_empty(tree: Checkout) -> None:
    without = tree.digest(SRC)
    (tree.root / "src/app.pyc").write_text("cache")
    assert tree.digest(SRC) == without

    (tree.root / "Dockerfile.dockerignore").write_text("")
    assert tree.digest(SRC) != without


def test_an_inline_dockerfile_goes_by_the_common_ignore_file(tree: Checkout) -> None:
    before = tree.digest(dockerfile_inline=SRC)
    tree.write({"Dockerfile.dockerignore": "src"})

    assert tree.digest(dockerfile_inline=SRC) == before


def test_an_inline_dockerfile_is_the_same_as_one_in_a_file(tree: Checkout) -> None:
    assert tree.digest(dockerfile_inline=SRC) == tree.digest(SRC)


def test_the_ignore_file_counts_by_its_bytes_where_it_is_copied(tree: Checkout) -> None:
    text = "FROM base\nCOPY . /o/\n"
    comment: Edit = lambda r: (r / ".dockerignore").write_text("# why\n**/*.pyc\n")  # noqa: E731
    before, after = before_and_after(tree, text, comment)
    assert before != after

    tree.write({".dockerignore": "**/*.pyc\n.dockerignore\n"})
    before, after = before_and_after(
        tree, text, lambda r: (r / ".dockerignore").write_text("**/*.pyc\n.docker*\n")
    )
    assert before == after


def test_a_dockerfile_that_is_left_out_may_get_a_comment(tree: Checkout) -> None:
    text = "FROM base\nCOPY . /o/\n"
    assert tree.digest(text) != tree.digest(f"# why\n{text}")

    tree.write({".dockerignore": "Dockerfile\n"})
    assert tree.digest(text) == tree.digest(f"# why\n{text}")


@pytest.mark.parametrize("rules", ["[a-", "ok\n!\n", "a\\"])
def test_an_ignore_pattern_that_the_builder_refuses_can_not_be_told(
    tree: Checkout, rules: str
) -> None:
    tree.write({".dockerignore": rules})

    assert tree.inputs(SRC).unknown


@pytest.mark.parametrize(
    ("rules", "text"),
    [("docs", "COPY docs /d"), ("docs/index.md", "COPY docs/index.md /d"), ("", "COPY none /d")],
)
def test_a_source_by_name_that_is_not_sent_can_not_be_told(
    tree: Checkout, rules: str, text: str
) -> None:
    tree.write({".dockerignore": rules})

    assert len(tree.inputs(f"FROM base\n{text}\n").unknown) == 1


def test_a_pattern_that_matches_nothing_is_no_doubt(tree: Checkout) -> None:
    assert tree.digest("FROM base\nCOPY none* src/app.py /o/\n")


def test_what_unstale_writes_into_the_context_never_counts(tree: Checkout) -> None:
    text = "FROM base\nCOPY . /o/\n"
    state = tree.root / ".unstale"
    tree.write({".dockerignore": "*\n!src\n!.unstale\n"})
    before = tree.digest(text, contexts=Contexts(hidden=state))
    tree.write({".unstale/runs/log": "1"})

    assert tree.digest(text, contexts=Contexts(hidden=state)) == before
    assert tree.digest(text) != before


# --- The Dockerfile's language ---

RUN = "FROM base\n"
SAME: dict[str, tuple[str, str]] = {
    "comments, case and blank lines": ("COPY src /o/", "# why\n\ncopy src /o/"),
    "a continuation": ("COPY src /o/", "COPY \\\n# why\n\n  src /o/"),
    "the JSON form": ("COPY src /o/", 'COPY ["src", "/o/"]'),
    "line ends": ("COPY src /o/\nRUN x", "COPY src /o/\r\nRUN x\r\n"),
    "the place of a source": ("COPY a/f /x", "COPY b/f /x"),
    "the place of a pattern": ("COPY a/? /x/", "COPY b/? /x/"),
    "the depth of a source": ("COPY a/f /x", "COPY a/deep/f /x"),
    "a way of writing a path": ("COPY src /o/", "COPY ../docs/../src/ /o/"),
    "a variable in place of its value": ("COPY src /o/", "ARG D=src\nCOPY ${D} /o/"),
    "a variable of the base image": ("COPY src /o/", "COPY $WHERE /o/"),
    "the name of an ARG that no RUN sees": ("ARG A=1\nCOPY src /o/", "ARG B=2\nCOPY src /o/"),
    "an ARG after the last RUN": ("RUN x", "RUN x\nARG A=1"),
    "an ARG without a value before a RUN": ("RUN x", "ARG A\nRUN x"),
    "the order of ARGs": ("ARG A=1\nARG B=2\nRUN x", "ARG B=2\nARG A=1\nRUN x"),
    "an ENV that is overwritten at once": ("ENV A=2\nRUN x", "ENV A=1\nENV A=2\nRUN x"),
    "a form of ENV": ("ENV A=1\nRUN x", "ENV A 1\nRUN x"),
    "the order of labels": ("LABEL a=1 b=2", "LABEL b=2\nLABEL a=1"),
    "the protocol of a port that is tcp": ("EXPOSE 80", "EXPOSE 80/tcp"),
    "a relative WORKDIR's slash": ("WORKDIR app\nCOPY src .", "WORKDIR app/\nCOPY src ."),
    "a relative destination": ("WORKDIR /app\nCOPY src /app/o/", "WORKDIR /app\nCOPY src o/"),
    "a CMD that is replaced": ('CMD ["b"]', 'CMD ["a"]\nCMD ["b"]'),
    "the quotes around a heredoc's name": (
        "COPY <<'EOF' /f\nx\nEOF",
        'COPY <<"EOF" /f\nx\nEOF',
    ),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_the_digest_does_not_depend_on(tree: Checkout, one: str, other: str) -> None:
    assert tree.digest(f"{RUN}{one}\n") == tree.digest(f"{RUN}{other}\n")


OTHER: dict[str, tuple[str, str]] = {
    "a slash after an absolute WORKDIR": ("WORKDIR /app\nRUN x", "WORKDIR /app/\nRUN x"),
    "a copy's destination": ("COPY src /o/", "COPY src /p/"),
    "whether a destination is a folder": ("COPY a/f /o", "COPY a/f /o/"),
    "the last segment of a source": ("COPY a/f /x", "COPY a/g /x"),
    "the last segments of a pattern's matches": ("COPY a/[f] /x/", "COPY a/[g] /x/"),
    "the order of sources": ("COPY a/f a/g /x/", "COPY a/g a/f /x/"),
    "--chown": ("COPY src /o/", "COPY --chown=1:1 src /o/"),
    "--chmod": ("COPY src /o/", "COPY --chmod=755 src /o/"),
    "COPY or ADD": ("COPY src /o/", "ADD src /o/"),
    "a command": ("RUN x", "RUN y"),
    "blanks in a command": ("RUN x  y", "RUN x y"),
    "the form of a command": ("RUN x", 'RUN ["x"]'),
    "the order of steps": ("RUN x\nRUN y", "RUN y\nRUN x"),
    "a variable that a RUN could see": ("RUN x", "ENV A=1\nRUN x"),
    "an ARG before a RUN, though unused": ("RUN x", "ARG A=1\nRUN x"),
    "the default of an ARG before a RUN": ("ARG A=1\nRUN x", "ARG A=2\nRUN x"),
    "the default of an ARG that names a source": ("ARG D=a\nCOPY $D /x", "ARG D=src\nCOPY $D /x"),
    "the user of a RUN": ("USER 1\nRUN x\nUSER 2", "USER 2\nRUN x"),
    "the shell of a RUN": ("RUN x", 'SHELL ["/bin/bash", "-c"]\nRUN x\nSHELL ["/bin/sh", "-c"]'),
    "the folder of a RUN": ("WORKDIR /a\nRUN x\nWORKDIR /b", "RUN x\nWORKDIR /a\nWORKDIR /b"),
    "the network of a RUN": ("RUN x", "RUN --network=none x"),
    "a mount's target": (
        "RUN --mount=source=src,target=/a x",
        "RUN --mount=source=src,target=/b x",
    ),
    "a mount's write access": (
        "RUN --mount=source=src,target=/a x",
        "RUN --mount=source=src,target=/a,rw x",
    ),
    "a heredoc's body": ("RUN <<EOF\nx\nEOF", "RUN <<EOF\ny\nEOF"),
    "a copied heredoc's body": ("COPY <<EOF /f\nx\nEOF", "COPY <<EOF /f\ny\nEOF"),
    "a copied heredoc's name": ("COPY <<a /f/\nx\na", "COPY <<b /f/\nx\nb"),
    "a variable in a copied heredoc": (
        "ARG A=1\nCOPY <<EOF /f\n$A\nEOF",
        "ARG A=2\nCOPY <<EOF /f\n$A\nEOF",
    ),
    "whether a copied heredoc expands": (
        "ARG A=1\nCOPY <<EOF /f\n$A\nEOF",
        "ARG A=1\nCOPY <<'EOF' /f\n$A\nEOF",
    ),
    "a label": ("LABEL a=1", "LABEL a=2"),
    "the command": ('CMD ["a"]', 'CMD ["b"]'),
    "the form of the command": ('CMD ["a"]', "CMD a"),
    "the entry point": ('ENTRYPOINT ["a"]', 'ENTRYPOINT ["b"]'),
    "a port": ("EXPOSE 80", "EXPOSE 81"),
    "a volume": ("VOLUME /a", "VOLUME /b"),
    "the user": ("USER 1", "USER 2"),
    "the signal": ("STOPSIGNAL INT", "STOPSIGNAL TERM"),
    "the health check": ("HEALTHCHECK CMD a", "HEALTHCHECK CMD b"),
    "an option of the health check": ("HEALTHCHECK CMD a", "HEALTHCHECK --interval=1s CMD a"),
    "a trigger": ("ONBUILD RUN a", "ONBUILD RUN b"),
    "the shell": ("", 'SHELL ["/bin/bash", "-c"]'),
    "the order of variables": ("ENV A=1\nENV B=2", "ENV B=2\nENV A=1"),
    "--exclude": ("COPY --exclude=x src /o/", "COPY --exclude=y src /o/"),
}


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER)
def test_the_digest_depends_on(tree: Checkout, one: str, other: str) -> None:
    assert tree.digest(f"{RUN}{one}\n") != tree.digest(f"{RUN}{other}\n")


def test_a_variable_in_a_quoted_heredoc_stays_as_it_is(tree: Checkout) -> None:
    texts = [f"FROM base\nARG A={n}\nCOPY <<'EOF' /f\n$A\nEOF\n" for n in "12"]

    assert tree.digest(texts[0]) == tree.digest(texts[1])


def test_a_byte_order_mark_and_the_name_of_the_dockerfile_do_not_count(tree: Checkout) -> None:
    tree.write({"Other": f"\ufeff{SRC}"})

    assert tree.digest(SRC) == tree.digest(dockerfile="Other")


def test_the_name_of_a_stage_does_not_count(tree: Checkout) -> None:
    texts = [f"FROM base AS {s}\nCOPY src /s\nFROM base\nCOPY --from={s} /s /t\n" for s in "ab"]

    assert tree.digest(texts[0]) == tree.digest(texts[1])
    assert tree.digest(texts[0].replace("from=a", "from=0")) == tree.digest(texts[0])


@pytest.mark.parametrize("target", ["Wanted", "wanted"])
def test_stages_that_the_target_does_not_need_may_be_anything(tree: Checkout, target: str) -> None:
    alone = tree.digest("FROM base AS wanted\nCOPY src /o/\n")

    assert alone == tree.digest(
        "FROM nowhere AS first\nRUN x\nFROM base AS wanted\nCOPY src /o/\n"
        "FROM first AS other\nCOPY missing /m\n",
        target=target,
    )


def test_a_path_in_a_copied_stage_counts(tree: Checkout) -> None:
    text = "FROM base AS s\nCOPY a /a\nFROM base\nCOPY --from=s {} /x\n"

    assert tree.digest(text.format("/a/f")) != tree.digest(text.format("/a/deep/f"))


def test_from_scratch_needs_no_image(tree: Checkout) -> None:
    tree.images.clear()

    assert tree.inputs("FROM scratch\nCOPY src /o/\n").unknown == ()


def test_exclude_and_parents_are_read_loosely(tree: Checkout) -> None:
    for flag in ("--exclude=*.md", "--parents"):
        before, after = before_and_after(
            tree,
            f"FROM base\nCOPY {flag} docs /o/\n",
            lambda r: (r / "docs/index.md").write_text(os.urandom(8).hex()),
        )
        assert before != after

    text = "FROM base\nCOPY --parents ./src/**/mod.py /o/\n"
    before, after = before_and_after(tree, text, lambda r: (r / "src/run.sh").write_text("false"))
    assert before != after


# --- What can't be told ---


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("COPY --from=$X src /o/", "line 2: --from=$X is not expanded by the builder"),
        ("COPY [a- /o/", "line 2: the pattern '[a-'"),
        ("RUN --mount=from=x$,target=/m x", "RUN --mount=from=x$"),
        ("ADD https://example.com/x /x", "ADD https://example.com/x (line 2)"),
        ("ADD git@example.com:a/b.git /x", "ADD git@example.com:a/b.git (line 2)"),
        ("COPY --from=nowhere /x /x", "the base image nowhere is not on this machine"),
    ],
)
def test_what_can_not_be_told_is_said(tree: Checkout, line: str, why: str) -> None:
    assert tree.inputs(f"FROM base\n{line}\n").unknown == (why,)


def test_an_unknown_instruction_and_an_unknown_target_can_not_be_told(tree: Checkout) -> None:
    assert len(tree.inputs("FROM base\nFUTURE x\n").unknown) == 1
    assert len(tree.inputs(SRC, target="absent").unknown) == 1
    assert len(tree.inputs("FROM base AS a\nFROM $EMPTY\n").unknown) == 1


def test_where_the_dockerfile_can_not_be_followed_the_whole_context_counts(
    tree: Checkout,
) -> None:
    text = "FROM base\nCOPY --from=$X src /o/\n"
    before = tree.inputs(text)
    tree.write({"docs/index.md": "changed"})

    assert before.plan is None
    assert tree.inputs(text).digest != before.digest
    assert tree.inputs(f"# why\n{text}").digest != tree.inputs(text).digest


def test_a_checksum_pins_what_add_fetches(tree: Checkout) -> None:
    texts = [
        f"FROM base\nADD --checksum=sha256:{digit * 64} https://example.com/x /x\n"
        for digit in "01"
    ]

    assert tree.digest(texts[0]) != tree.digest(texts[1])


def test_a_context_elsewhere_can_not_be_told() -> None:
    build = BuildSpec("https://example.com/a.git", "Dockerfile", None, None, (), (), ())

    assert build_inputs(build, {}, {}.get).unknown == ("the build context is not on this machine",)


def test_a_missing_context_or_dockerfile_is_an_error(tree: Checkout) -> None:
    with pytest.raises(MissingFile, match="Dockerfile"):
        tree.inputs(dockerfile="absent")
    with pytest.raises(MissingFile, match="Next: see `context:` under `build:`"):
        tree.inputs(context=str(tree.root / "absent"))


@pytest.mark.parametrize("syntax", ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.4"])
def test_dockers_own_frontend_is_followed_and_named_as_not_covered(
    tree: Checkout, syntax: str
) -> None:
    found = tree.inputs(f"# syntax={syntax}\n{SRC}")

    assert found.unknown == ()
    assert f"the frontend of # syntax={syntax}, which may move" in found.not_covered


def test_another_frontends_language_can_not_be_told(tree: Checkout) -> None:
    assert len(tree.inputs(f"# syntax=example.com/lang:1\n{SRC}").unknown) == 1
    assert len(tree.inputs(SRC, args=(("BUILDKIT_SYNTAX", "example.com/lang:1"),)).unknown) == 1


# --- Arguments, options, labels, platforms ---


def arguments(**values: str | None) -> dict[str, Any]:
    return {"args": tuple(sorted(values.items()))}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FROM base\nARG A\nRUN x\n", "A"),
        ("FROM base\nARG A=0\nRUN x\n", "A"),
        ("FROM base\nARG A\nLABEL l=$A\n", "A"),
        ("ARG A\nFROM base\nARG A\nRUN x\n", "A"),
        ("FROM base AS p\nARG A\nRUN x\nFROM p\n", "A"),
        ("FROM base\nARG HTTP_PROXY\nRUN x\n", "HTTP_PROXY"),
    ],
)
def test_an_argument_counts_where_a_run_or_a_word_sees_it(
    tree: Checkout, text: str, name: str
) -> None:
    assert tree.digest(text, **arguments(**{name: "1"})) != tree.digest(
        text, **arguments(**{name: "2"})
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FROM base\nRUN x\n", "A"),
        ("FROM base\nRUN x\nARG A\n", "A"),
        ("FROM base\nARG A\nCOPY src /o/\n", "A"),
        ("ARG A\nFROM base\nRUN x\n", "A"),
        ("FROM base\nRUN x\n", "HTTP_PROXY"),
        ("FROM base\nRUN x\n", "no_proxy"),
        ("FROM base AS other\nARG A\nRUN x\nFROM base\n", "A"),
    ],
)
def test_an_argument_that_nothing_sees_does_not_count(tree: Checkout, text: str, name: str) -> None:
    assert tree.digest(text, **arguments(**{name: "1"})) == tree.digest(
        text, **arguments(**{name: "2"})
    )


def test_an_argument_that_the_compose_file_only_names_is_the_environments(
    tree: Checkout,
) -> None:
    text = "FROM base\nARG A=0\nRUN x\n"
    named = arguments(A=None)

    assert tree.digest(text, environ={"A": "1"}, **named) == tree.digest(text, **arguments(A="1"))
    assert tree.digest(text, **named) == tree.digest(text)


def test_an_argument_chooses_the_base_image(tree: Checkout) -> None:
    text = "ARG BASE=tools\nFROM ${BASE}\nCOPY src /o/\n"

    assert tree.digest(text) != tree.digest(text, **arguments(BASE="base"))
    assert tree.digest(text, **arguments(BASE="base")) == tree.digest(SRC)


def test_dependencies_move_with_the_lock_and_not_with_the_source(tree: Checkout) -> None:
    text = "FROM base\nCOPY docs /d/\nRUN x\nCOPY src /o/\n"
    before = tree.inputs(text)
    tree.write({"src/app.py": "print(3)"})
    assert tree.inputs(text).dependencies == before.dependencies

    tree.write({"docs/index.md": "bye"})
    assert tree.inputs(text).dependencies != before.dependencies


def compose(**build: Any) -> dict[str, Any]:
    """The options of a build as the compose file's *build* section gives them."""
    model = {"name": "demo", "services": {"app": {"build": {"context": "/", **build}}}}
    spec = parse(model).services[0].build
    assert spec is not None
    return {"run_options": spec.run_options, "labels": spec.labels, "args": spec.args}


@pytest.mark.parametrize(
    "option",
    [
        {"network": "host"},
        {"extra_hosts": {"db": "10.0.0.1"}},
        {"shm_size": "1000000"},
        {"ulimits": {"nofile": 10}},
        {"privileged": True},
        {"entitlements": ["network.host"]},
        {"labels": {"a": "1"}},
    ],
    ids=lambda option: next(iter(option)),
)
def test_an_option_of_the_build_that_a_run_sees_counts(
    tree: Checkout, option: Mapping[str, Any]
) -> None:
    text = "FROM base\nRUN x\n"

    assert tree.digest(text, **compose(**option)) != tree.digest(text)


def test_the_names_of_extra_hosts_count_and_their_addresses_do_not(tree: Checkout) -> None:
    text = "FROM base\nRUN x\n"

    def digest(hosts: object) -> str:
        return tree.digest(text, **compose(extra_hosts=hosts))

    assert digest({"db": "10.0.0.1"}) == digest(["db=10.0.0.2"]) == digest(["db:10.0.0.3"])
    assert digest({"db": "10.0.0.1"}) != digest({"web": "10.0.0.1"})


@pytest.mark.parametrize("option", [{"network": "host"}, {"shm_size": "1000000"}])
def test_an_option_that_no_run_sees_does_not_count(
    tree: Checkout, option: Mapping[str, Any]
) -> None:
    assert tree.digest(SRC, **compose(**option)) == tree.digest(SRC)


def test_secrets_never_count(tree: Checkout) -> None:
    text = "FROM base\nRUN --mount=type=secret,id=token x\n"
    found = tree.inputs(text, **compose(secrets=["token"]))

    assert found.digest == tree.digest(text)
    assert "the secret token" in found.not_covered


def test_a_platform_counts_where_the_build_names_it_and_where_it_is_asked(
    tree: Checkout,
) -> None:
    arm = {"platform": "linux/arm64/v8"}
    text = "FROM base\nARG TARGETARCH\nRUN x\n"

    before = tree.digest(SRC)
    tree.images["base"] = replace(tree.images["base"], architecture="arm64")
    assert tree.digest(SRC) == before
    assert tree.digest(SRC, platforms=("linux/arm64",)) != tree.digest(SRC)
    assert tree.digest("FROM --platform=linux/arm64 base\nCOPY src /o/\n") != tree.digest(SRC)
    assert tree.digest(text, **arm) != tree.digest(text)
    assert tree.digest(SRC, **arm) == tree.digest(SRC)


# --- Base images ---


@pytest.mark.parametrize(
    "text",
    [
        "FROM tools\nCOPY src /o/\n",
        "FROM base\nCOPY --from=tools /bin/tool /t\n",
        "FROM base\nRUN --mount=from=tools,target=/t x\n",
    ],
)
def test_an_image_counts_by_its_layers(tree: Checkout, text: str) -> None:
    before = tree.digest(text)
    tree.images["tools"] = image_fact("sha256:tools", image_id="sha256:2")
    assert tree.digest(text) == before

    tree.images["tools"] = image_fact("sha256:moved")
    assert tree.digest(text) != before


def test_the_tag_of_an_image_does_not_count(tree: Checkout) -> None:
    assert tree.digest(SRC) == tree.digest(SRC.replace("base", "base:latest"))


@pytest.mark.parametrize(
    ("text", "platforms"),
    [
        (SRC, ("linux/arm64",)),
        (SRC.replace("base", "--platform=linux/arm64 base"), ()),
        ("FROM scratch\nCOPY --from=base /a /a\n", ("linux/arm64/v8",)),
    ],
    ids=["the build", "the stage", "copied from"],
)
def test_an_image_of_another_platform_is_not_the_one_built_on(
    tree: Checkout, text: str, platforms: tuple[str, ...]
) -> None:
    found = tree.inputs(text, platforms=platforms)

    assert found.unknown == ("the base image base is not on this machine",)
    assert found.absent == ("base",)
    tree.images["base"] = replace(tree.images["base"], architecture="arm64")
    assert tree.inputs(text, platforms=platforms).unknown == ()


def test_what_runs_on_the_engine_is_of_its_platform_and_not_of_the_target(tree: Checkout) -> None:
    stage = "FROM --platform=$BUILDPLATFORM base AS build\nCOPY src /o/\n"
    text = f"{stage}FROM scratch\nCOPY --from=build /o /o\n"

    assert tree.inputs(text, platforms=("linux/arm64",)).images == {"base": "linux/amd64"}
    both = text.replace("scratch", "base")
    assert tree.inputs(both).unknown == ()
    tree.images["base"] = replace(tree.images["base"], architecture="arm64")
    assert tree.inputs(both, platforms=("linux/arm64",)).unknown == (
        "base is used for linux/arm64 and for another platform",
    )


def test_the_platform_may_be_set_for_all_that_docker_does(tree: Checkout) -> None:
    found = tree.inputs(SRC, environ={"DOCKER_DEFAULT_PLATFORM": "linux/arm64"})

    assert found.images == {"base": "linux/arm64"}
    assert found.unknown == ("the base image base is not on this machine",)


def test_the_tag_of_a_pulled_image_may_move_in_its_registry(tree: Checkout) -> None:
    assert tree.inputs(SRC).not_covered == ()

    pinned = f"base@sha256:{'0' * 64}"
    tree.images["base"] = image_fact("sha256:base", is_pulled=True)
    tree.images[pinned] = tree.images["base"]
    assert tree.inputs(SRC).not_covered == ("whether the tag base has moved in its registry",)
    assert tree.inputs(SRC.replace("base", pinned)).not_covered == ()


def test_the_frontend_that_is_named_counts(tree: Checkout) -> None:
    assert tree.digest(SRC) != tree.digest(f"# syntax=docker/dockerfile:1\n{SRC}")


def test_a_target_is_a_name_and_never_a_number(tree: Checkout) -> None:
    assert len(tree.inputs(f"FROM base AS one\n{SRC}", target="0").unknown) == 1


def test_the_id_of_a_cache_does_not_count_and_where_it_is_mounted_does(tree: Checkout) -> None:
    texts = [
        f"FROM base\nRUN --mount=type=cache,{options} x\n"
        for options in ("id=a,target=/c", "id=b,target=/c", "id=a,target=/d")
    ]
    one, other_id, other_target = map(tree.digest, texts)

    assert one == other_id
    assert one != other_target


@pytest.mark.parametrize(
    "config",
    [{"Labels": {"a": "1"}}, {"User": "1"}, {"Env": ["PATH=/bin", "WHERE=a"]}, {"Cmd": ["x"]}],
    ids=lambda config: next(iter(config)),
)
def test_what_is_inherited_from_a_base_image_counts(
    tree: Checkout, config: Mapping[str, Any]
) -> None:
    before = tree.digest(SRC)
    tree.images["base"] = image_fact("sha256:base", **config)

    assert tree.digest(SRC) != before


def test_the_config_of_an_image_that_is_only_copied_from_does_not_count(tree: Checkout) -> None:
    text = "FROM base\nCOPY --from=tools /bin/tool /t\n"
    before = tree.digest(text)
    tree.images["tools"] = image_fact("sha256:tools", Labels={"a": "1"})

    assert tree.digest(text) == before


def test_an_image_that_is_not_here_can_not_be_told(tree: Checkout) -> None:
    assert tree.inputs("FROM nowhere\nCOPY src /o/\n").unknown == (
        "the base image nowhere is not on this machine",
    )


def test_a_trigger_of_the_base_image_reads_the_context(tree: Checkout) -> None:
    tree.images["base"] = image_fact("sha256:base", OnBuild=["COPY docs /d/"])

    before, after = before_and_after(
        tree, "FROM base\n", lambda r: (r / "docs/index.md").write_text("bye")
    )

    assert before != after


def test_a_trigger_of_a_parent_stage_reads_the_context_once(tree: Checkout) -> None:
    text = "FROM base AS p\nONBUILD COPY docs /d/\nFROM p AS c\nFROM c\n"
    edit: Edit = lambda r: (r / "docs/index.md").write_text("bye")  # noqa: E731
    before, after = before_and_after(tree, text, edit)
    assert before != after

    steps = [len(stage.steps) for stage in tree.inputs(text).plan.stages.values()]  # type: ignore[union-attr]
    assert steps == [0, 1, 0]


# --- Additional contexts ---


@pytest.fixture
def lib(tmp_path: Path) -> Path:
    (tmp_path / "lib/part").mkdir(parents=True)
    (tmp_path / "lib/part/x").write_text("1")
    (tmp_path / "lib/y.pyc").write_text("1")
    return tmp_path / "lib"


def additional(**contexts: object) -> dict[str, Any]:
    return {"additional_contexts": tuple((k, str(v)) for k, v in sorted(contexts.items()))}


@pytest.mark.parametrize(
    "line",
    [
        "COPY --from=lib part /x/",
        "COPY --from=lib pa* /x/",
        "RUN --mount=from=lib,target=/l x",
        "RUN --mount=from=lib,source=part,target=/l x",
    ],
)
def test_a_folder_of_its_own_is_an_input(tree: Checkout, lib: Path, line: str) -> None:
    before, after = before_and_after(
        tree,
        f"FROM base\n{line}\n",
        lambda _: (lib / "part/x").write_text("2"),
        **additional(lib=lib),
    )

    assert before != after


def test_an_additional_context_goes_by_its_own_ignore_file(tree: Checkout, lib: Path) -> None:
    text = "FROM base\nCOPY --from=lib . /x/\n"
    edit: Edit = lambda _: (lib / "y.pyc").write_text("2")  # noqa: E731
    before, after = before_and_after(tree, text, edit, **additional(lib=lib))
    assert before != after

    (lib / ".dockerignore").write_text("*.pyc")
    (lib / "y.pyc").write_text("3")
    before, after = before_and_after(tree, text, edit, **additional(lib=lib))
    assert before == after


def test_an_additional_context_that_nothing_reads_does_not_count(tree: Checkout, lib: Path) -> None:
    assert tree.digest(SRC, **additional(lib=lib)) == tree.digest(SRC)


def test_a_stage_that_a_context_replaces_is_not_read(tree: Checkout) -> None:
    text = "FROM base AS build\nCOPY docs /d/\nFROM base\nCOPY --from=build /d /d\n"
    edit: Edit = lambda r: (r / "docs/index.md").write_text("bye")  # noqa: E731
    options = additional(build="docker-image://tools")
    before, after = before_and_after(tree, text, edit, **options)
    assert before == after

    tree.images["tools"] = image_fact("sha256:moved")
    assert tree.digest(text, **options) != after


def test_a_base_image_that_a_context_replaces_is_not_looked_at(tree: Checkout) -> None:
    text = "FROM example.com/none\nCOPY src /o/\n"
    options = {"additional_contexts": (("example.com/none", "docker-image://base"),)}

    assert tree.digest(text, **options) == tree.digest(SRC)


@pytest.mark.parametrize("place", ["service:b", "https://example.com/a.git", "/not/there"])
def test_an_additional_context_that_is_no_folder_here_can_not_be_told(
    tree: Checkout, place: str
) -> None:
    text = "FROM base\nCOPY --from=lib x /x\n"

    assert len(tree.inputs(text, **additional(lib=place)).unknown) == 1
    assert tree.inputs(SRC, **additional(lib=place)).unknown == ()


def test_a_stage_on_a_folder_can_not_be_told(tree: Checkout, lib: Path) -> None:
    assert len(tree.inputs("FROM lib\n", **additional(lib=lib)).unknown) == 1


# --- The project's own ---


@pytest.mark.parametrize("target", ["runtime", "runner"])
def test_the_projects_own_dockerfile_is_understood(target: str) -> None:
    build = BuildSpec(str(PROJECT), "docker/Dockerfile", None, target, (), (), ())
    known = image_fact("sha256:base")

    assert build_inputs(build, {}, lambda _: known).unknown == ()
