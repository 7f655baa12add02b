from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from unstale.compose import BuildSpec
from unstale.errors import CouldNotTell, MissingFile
from unstale.image.inputs import BuildInputs, build_inputs

PROJECT = Path(__file__).parents[3]

DOCKERFILE = """\
ARG BASE=python:3
FROM ${BASE} AS base
WORKDIR /app
FROM base AS builder
COPY requirements.lock /build/
FROM base AS runtime
COPY --from=builder /venv /venv
COPY src ./src
COPY pytest.container.ini ./pytest.ini
FROM base AS other
COPY other /other
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "Dockerfile": DOCKERFILE,
        "requirements.lock": "a==1",
        "src/app.py": "print(1)",
        "src/pkg/mod.py": "x = 1",
        "pytest.container.ini": "[pytest]",
        "docs/index.md": "hello",
        "other/file": "x",
        ".dockerignore": "**/*.pyc\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def spec(
    root: Path, *, target: str | None = "runtime", args: tuple[tuple[str, str | None], ...] = ()
) -> BuildSpec:
    return BuildSpec(str(root), "Dockerfile", None, target, args, (), ())


def read(root: Path, text: str | None = None, **options: str | None) -> BuildInputs:
    if text is not None:
        (root / "Dockerfile").write_text(text)
        options.setdefault("target", None)
    return build_inputs(spec(root, **options), {})  # type: ignore[arg-type]


def test_files_are_mapped_to_where_the_image_has_them(root: Path) -> None:
    found = read(root)

    assert dict(found.copies) == {
        "src/app.py": PurePosixPath("/app/src/app.py"),
        "src/pkg/mod.py": PurePosixPath("/app/src/pkg/mod.py"),
        "pytest.container.ini": PurePosixPath("/app/pytest.ini"),
    }
    assert (found.unresolved, found.remote, found.base_images) == ((), (), ("python:3",))


def test_only_what_the_target_reaches_is_read(root: Path) -> None:
    assert {path.partition("/")[0] for path in read(root).paths} == {
        "requirements.lock",
        "src",
        "pytest.container.ini",
    }


@pytest.mark.parametrize(
    "edit",
    [
        lambda r: (r / "src/app.py").write_text("print(2)"),
        lambda r: (r / "src/app.py").chmod(0o755),
        lambda r: (r / "src/app.py").chmod(0o600),
        lambda r: (r / "src/app.py").rename(r / "src/main.py"),
        lambda r: (r / "src/new.py").write_text(""),
        lambda r: (r / "src/empty").mkdir(),
        lambda r: (r / "src/pkg").chmod(0o700),
        lambda r: (r / "src/link").symlink_to("app.py"),
        lambda r: (r / "src/pkg/mod.py").unlink(),
        lambda r: (r / "requirements.lock").write_text("a==2"),
        lambda r: (r / "Dockerfile").write_text(DOCKERFILE.replace("/build/", "/b/")),
        lambda r: (r / ".dockerignore").write_text("src/pkg"),
        lambda r: (r / "Dockerfile.dockerignore").write_text("src/pkg"),
    ],
)  # fmt: skip
def test_an_edit_of_an_input_changes_the_digest(root: Path, edit: object) -> None:
    before = read(root).digest
    assert callable(edit)
    edit(root)

    assert read(root).digest != before


@pytest.mark.parametrize(
    "edit",
    [
        lambda r: (r / "docs/index.md").write_text("bye"),
        lambda r: (r / "other/file").write_text("y"),
        lambda r: (r / "src/app.pyc").write_text("cache"),
        lambda r: os.utime(r / "src/app.py", (1, 1)),
        lambda r: (r / "Dockerfile").write_text("# why\n\n" + DOCKERFILE.replace("COPY", "copy")),
        lambda r: (r / ".dockerignore").write_text("# only python's\n**/*.pyc"),
        lambda r: r.chmod(0o700),
    ],
)
def test_an_edit_of_anything_else_does_not(root: Path, edit: object) -> None:
    before = read(root).digest
    assert callable(edit)
    edit(root)

    assert read(root).digest == before


def test_the_dockerfiles_own_ignore_file_wins_even_if_empty(root: Path) -> None:
    (root / "src/app.pyc").write_text("cache")
    assert "src/app.pyc" not in read(root).paths

    (root / "Dockerfile.dockerignore").write_text("")
    assert "src/app.pyc" in read(root).paths


def test_a_folder_that_is_left_out_is_sent_for_what_is_brought_back(root: Path) -> None:
    (root / ".dockerignore").write_text("*\n!src/pkg\n")

    found = read(root, "FROM scratch\nCOPY . /all/")

    assert set(found.paths) == {"src", "src/pkg", "src/pkg/mod.py"}
    assert found.copies == (("src/pkg/mod.py", PurePosixPath("/all/src/pkg/mod.py")),)


@pytest.mark.parametrize(
    "line",
    [
        "COPY $UNSET /o/",
        "ARG D=src\nCOPY $D /o/",
        "COPY --exclude=x src /o/",
        "COPY --parents src /o/",
        "COPY link /o/",
        "COPY linkdir/mod.py /o/",
        "COPY [a- /o/",
        "RUN --mount=type=bind,source=$X,target=/s true",
        "FUTURE x",
    ],
)
def test_what_cannot_be_resolved_takes_the_whole_context(root: Path, line: str) -> None:
    (root / "link").symlink_to("docs/index.md")
    (root / "linkdir").symlink_to("src/pkg")

    before = read(root, f"FROM python:3\n{line}\n")
    (root / "docs/index.md").write_text("changed")

    assert before.unresolved
    assert before.copies == ()
    assert read(root, f"FROM python:3\n{line}\n").digest != before.digest


def test_onbuild_of_a_parent_stage_takes_the_whole_context(root: Path) -> None:
    assert read(root, "FROM scratch AS a\nONBUILD COPY docs /d/\nFROM a\n").unresolved == (
        "ONBUILD",
    )


def test_an_env_of_the_dockerfile_is_followed(root: Path) -> None:
    found = read(root, "FROM python:3\nENV D=src\nWORKDIR /w\nCOPY $D/app.py ${D}/\n")

    assert found.copies == (("src/app.py", PurePosixPath("/w/src/app.py")),)


def test_a_relative_destination_below_an_unknown_workdir_is_not_mapped(root: Path) -> None:
    found = read(root, "FROM python:3\nCOPY src ./src\n")

    assert (found.copies, found.unresolved) == ((), ())
    assert "src/app.py" in found.paths


@pytest.mark.parametrize(
    ("lines", "copies"),
    [
        ("COPY src/*.py /o/", {"src/app.py": "/o/app.py"}),
        ("COPY src/[^b]pp.py /o", {"src/app.py": "/o"}),
        ("COPY s* /o/", {"src/app.py": "/o/app.py", "src/pkg/mod.py": "/o/pkg/mod.py"}),
        ("COPY ../src/app.py /o/", {"src/app.py": "/o/app.py"}),
        ("WORKDIR /w\nCOPY src/app.py .", {"src/app.py": "/w/app.py"}),
        ("WORKDIR /w\nCOPY src/app.py /w", {"src/app.py": "/w/app.py"}),
        ("COPY src/app.py other/file /o", {"src/app.py": "/o/app.py", "other/file": "/o/file"}),
        ("COPY src/app.py /f\nCOPY docs/index.md /f", {"docs/index.md": "/f"}),
        ("COPY src /o\nCOPY --from=x /y /o/pkg", {"src/app.py": "/o/app.py"}),
        ("COPY src/app.py /f\nCOPY <<EOF /f\nx\nEOF", {}),
        ("ADD src/app.py /o/", {}),
        ("ADD src /o/", {"src/app.py": "/o/app.py", "src/pkg/mod.py": "/o/pkg/mod.py"}),
        ("COPY nothing* src/app.py /o/", {"src/app.py": "/o/app.py"}),
    ],
)  # fmt: skip
def test_copy_semantics(root: Path, lines: str, copies: dict[str, str]) -> None:
    found = read(root, f"FROM scratch\n{lines}\n")

    assert {source: str(dest) for source, dest in found.copies} == copies
    assert found.unresolved == ()


def test_a_bind_mount_is_read_and_not_mapped(root: Path) -> None:
    found = read(root, "FROM scratch\nRUN --mount=type=bind,source=docs,target=/d true\n")

    assert (set(found.paths), found.copies) == ({"docs", "docs/index.md"}, ())


def test_a_bind_mount_without_source_reads_everything(root: Path) -> None:
    found = read(root, "FROM scratch\nRUN --mount=target=/d true\n")

    assert {"docs/index.md", "src/app.py", "Dockerfile"} <= set(found.paths)


@pytest.mark.parametrize("source", ["https://example.com/x", "git@example.com:a/b.git"])
def test_an_input_from_the_network_is_said(root: Path, source: str) -> None:
    assert read(root, f"FROM scratch\nADD {source} /x\n").remote


def test_a_context_that_is_not_here_is_never_provable() -> None:
    build = BuildSpec("https://example.com/a.git", "Dockerfile", None, None, (), (), ())

    assert build_inputs(build, {}).remote


def test_build_args_count_where_they_are_declared(root: Path) -> None:
    base = read(root).digest

    def digest(environ: dict[str, str], **args: str | None) -> str:
        return build_inputs(spec(root, args=tuple(args.items())), environ).digest

    assert digest({}, BASE="python:4") != base
    assert digest({"BASE": "python:4"}, BASE=None) == digest({}, BASE="python:4")
    assert digest({}, BASE=None) == base
    assert digest({}, UNDECLARED="1") == base
    assert digest({}, HTTP_PROXY="http://example.com") == base


def test_dependencies_move_with_the_lock_and_not_with_the_source(root: Path) -> None:
    before = read(root)
    (root / "src/app.py").write_text("print(3)")
    assert read(root).dependencies == before.dependencies

    (root / "requirements.lock").write_text("a==3")
    assert read(root).dependencies != before.dependencies


def test_an_additional_context_is_an_input(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lib = tmp_path_factory.mktemp("lib")
    (lib / "x").write_text("1")
    build = replace(spec(root), additional_contexts=(("lib", str(lib)),))
    before = build_inputs(build, {})
    (lib / "x").write_text("2")

    assert build_inputs(build, {}).digest != before.digest
    assert build_inputs(replace(build, additional_contexts=(("a", "service:b"),)), {}).remote


def test_an_unreadable_pattern_an_absent_file_and_an_unknown_target(root: Path) -> None:
    with pytest.raises(MissingFile):
        build_inputs(replace(spec(root), dockerfile="absent"), {})
    with pytest.raises(MissingFile):
        build_inputs(spec(root / "absent"), {})
    assert read(root, target="absent").unresolved
    (root / ".dockerignore").write_text("[a-")
    with pytest.raises(CouldNotTell):
        read(root)


@pytest.mark.parametrize("target", ["runtime", "runner"])
def test_the_projects_own_dockerfile_is_understood(target: str) -> None:
    build = BuildSpec(str(PROJECT), "docker/Dockerfile", None, target, (), (), ())

    found = build_inputs(build, {})

    assert found.unresolved == ()
    copies = dict(found.copies)
    assert copies["docker/service/accounts/main.py"] == PurePosixPath("/app/accounts/main.py")
    tests = "tests/api/test_api_keys_endpoints.py"
    assert copies.get(tests) == (PurePosixPath("/app", tests) if target == "runner" else None)
