"""Where an image has the files that its build copied."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import Checkout, image_fact

from unstale.image.placements import Placed, placements

FILES = {
    "src/app.py": "",
    "src/pkg/mod.py": "",
    "docs/index.md": "",
    "run.sh": "",
    "run.py": "",
    "data.tar": "",
}


@pytest.fixture
def tree(checkout: Checkout) -> Checkout:
    checkout.images["base"] = image_fact("sha256:base", WorkingDir="/home")
    return checkout.write(FILES)


def placed(tree: Checkout, lines: str) -> tuple[Placed, ...]:
    text = lines if lines.startswith("FROM") else f"FROM base\n{lines}"
    return placements(tree.inputs(f"{text}\n"))


def places(tree: Checkout, lines: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in placed(tree, lines):
        found.setdefault(one.source, []).append(str(one.dest))
    return found


ALL = {"src/app.py": ["/o/app.py"], "src/pkg/mod.py": ["/o/pkg/mod.py"]}
COPIES: dict[str, tuple[str, dict[str, list[str]]]] = {
    "a file to a name": ("COPY run.sh /bin/start", {"run.sh": ["/bin/start"]}),
    "a file into a folder": ("COPY run.sh /bin/", {"run.sh": ["/bin/run.sh"]}),
    "files into a folder": (
        "COPY run.sh docs/index.md /o/",
        {"run.sh": ["/o/run.sh"], "docs/index.md": ["/o/index.md"]},
    ),
    "a folder's contents": ("COPY src /o", ALL),
    "a folder's contents into a folder": ("COPY src /o/", ALL),
    "a folder beside a file": ("COPY src run.sh /o/", {**ALL, "run.sh": ["/o/run.sh"]}),
    "the context": (
        "COPY docs /d\nCOPY . /all",
        {
            "docs/index.md": ["/all/docs/index.md", "/d/index.md"],
            "src/app.py": ["/all/src/app.py"],
            "src/pkg/mod.py": ["/all/src/pkg/mod.py"],
            "run.sh": ["/all/run.sh"],
            "run.py": ["/all/run.py"],
            "data.tar": ["/all/data.tar"],
            "Dockerfile": ["/all/Dockerfile"],
        },
    ),
    "a pattern": ("COPY run.* /o/", {"run.sh": ["/o/run.sh"], "run.py": ["/o/run.py"]}),
    "a pattern with one match": ("COPY run.s? /o/f", {"run.sh": ["/o/f"]}),
    "a pattern that matches a folder": ("COPY s* /o/", ALL),
    "a pattern that matches nothing": ("COPY none* run.sh /o/", {"run.sh": ["/o/run.sh"]}),
    "a path above the context": ("COPY ../run.sh /o/", {"run.sh": ["/o/run.sh"]}),
    "to the WORKDIR of the base image": ("COPY run.sh .", {"run.sh": ["/home/run.sh"]}),
    "below a WORKDIR": ("WORKDIR /w\nWORKDIR x\nCOPY run.sh a/b", {"run.sh": ["/w/x/a/b"]}),
    "onto a WORKDIR": ("WORKDIR /w\nCOPY run.sh /w", {"run.sh": ["/w/run.sh"]}),
    "onto a folder that a copy made": (
        "COPY docs /o\nCOPY run.sh /o",
        {"docs/index.md": ["/o/index.md"], "run.sh": ["/o/run.sh"]},
    ),
    "a destination with a variable": ("ENV D=/d\nCOPY run.sh ${D}/", {"run.sh": ["/d/run.sh"]}),
    "onto a folder, as a later copy shows": (
        "COPY run.sh /opt\nCOPY docs /opt/docs",
        {"run.sh": ["/opt/run.sh"], "docs/index.md": ["/opt/docs/index.md"]},
    ),
    # What wins.
    "the later copy": ("COPY run.sh /f\nCOPY run.py /f", {"run.py": ["/f"]}),
    "the later copy of a folder": ("COPY run.sh /o/app.py\nCOPY src /o", ALL),
    "a heredoc over a file": ("COPY run.sh /f\nCOPY <<EOF /f\nx\nEOF", {}),
    "a heredoc into a folder": ("COPY src /o/\nCOPY <<f /o/\nx\nf", {}),
    "a file over a heredoc": ("COPY <<EOF /f\nx\nEOF\nCOPY run.sh /f", {"run.sh": ["/f"]}),
    "an image's files": (
        "COPY src /o\nCOPY --from=base /y /o/pkg",
        {"src/app.py": ["/o/app.py"]},
    ),
    "an archive that ADD unpacks": ("COPY src /o\nADD data.tar /o/", {}),
    "a file that ADD adds": ("ADD run.sh /o/", {}),
    "--parents": ("COPY run.sh /p/f\nCOPY --parents src /p/", {}),
    "--exclude": ("COPY --exclude=x src /p/", {}),
}


@pytest.mark.parametrize(("lines", "expected"), COPIES.values(), ids=COPIES)
def test_a_copy_puts(tree: Checkout, lines: str, expected: dict[str, list[str]]) -> None:
    assert places(tree, lines) == expected


STAGES: dict[str, tuple[str, dict[str, list[str]]]] = {
    "a file of a stage": ("COPY --from=s /s/app.py /o/", {"src/app.py": ["/o/app.py"]}),
    "a file under another name": ("COPY --from=s /s/app.py /o/f", {"src/app.py": ["/o/f"]}),
    "a folder of a stage": ("COPY --from=s /s /o", ALL),
    "a folder into a folder": ("COPY --from=s s /o/", ALL),
    "a part of a folder": ("COPY --from=s /s/pkg /o", {"src/pkg/mod.py": ["/o/mod.py"]}),
    "a whole stage": (
        "COPY --from=s / /r",
        {"src/app.py": ["/r/s/app.py"], "src/pkg/mod.py": ["/r/s/pkg/mod.py"]},
    ),
    "what the stage made": ("COPY --from=s /made /o", {}),
    "a pattern in a stage": ("COPY run.sh /o/\nCOPY --from=s /s/*.py /o/", {}),
    # A folder of a stage may hold more than what was copied to it.
    "a folder over files": ("COPY run.sh /o/app.py\nCOPY --from=s /made /o", {}),
    "a folder into a folder with files": ("COPY src /o/\nCOPY --from=s /made /o/", {}),
    "a file beside files": (
        "COPY run.sh /o/\nCOPY --from=s /s/app.py /o/",
        {"run.sh": ["/o/run.sh"], "src/app.py": ["/o/app.py"]},
    ),
}


@pytest.mark.parametrize(("lines", "expected"), STAGES.values(), ids=STAGES)
def test_a_copy_from_a_stage_puts(
    tree: Checkout, lines: str, expected: dict[str, list[str]]
) -> None:
    text = f"FROM base AS s\nCOPY src /s\nFROM base\n{lines}"

    assert places(tree, text) == expected


def test_a_link_of_a_stage_is_followed_by_a_copy_and_so_left_out(tree: Checkout) -> None:
    (tree.root / "src/link").symlink_to("app.py")
    text = "FROM base AS s\nCOPY src /s\nFROM base\nCOPY --from=s {} /o\n"

    assert places(tree, text.format("/s/link")) == {}
    assert places(tree, text.format("/s"))["src/link"] == ["/o/link"]


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("COPY run.sh /l/link", {"src/pkg/mod.py"}),  # through the link onto app.py
        ("COPY docs/index.md /l/way/f", {"src/app.py", "src/link", "src/pkg/mod.py"}),
        ("COPY <<EOF /l/link\nx\nEOF", {"src/pkg/mod.py"}),
        ("COPY --from=s /run.sh /l/link", {"src/pkg/mod.py"}),
        ("COPY --from=s /made /l/way", {"src/app.py", "src/link"}),
        ("COPY --from=s /made /l", set()),
        ("COPY docs /l/away/", {"src/app.py", "src/link", "src/pkg/mod.py"}),
    ],
)
def test_what_is_written_through_a_copied_link_is_not_known(
    tree: Checkout, line: str, left: set[str]
) -> None:
    (tree.root / "src/link").symlink_to("app.py")
    (tree.root / "src/way").symlink_to("/l/pkg")
    (tree.root / "src/away").symlink_to("../elsewhere")
    text = f"FROM base AS s\nCOPY run.sh /\nFROM base\nCOPY src /l\n{line}\n"

    assert {one.source for one in placed(tree, text)} - {"src/way", "src/away"} == left


def test_links_in_a_circle_lead_anywhere(tree: Checkout) -> None:
    (tree.root / "src/link").symlink_to("again")
    (tree.root / "src/again").symlink_to("link")

    assert places(tree, "COPY src /o\nCOPY run.sh /o/link/x") == {}


def test_a_file_of_a_stage_may_lie_in_a_folder_under_its_own_name(tree: Checkout) -> None:
    text = "FROM base AS s\nCOPY run.sh /s/start\nFROM base\nCOPY --from=s /s/start /etc\n"
    (one,) = placed(tree, text)

    assert (str(one.dest), one.name) == ("/etc", "start")


def test_a_parent_stage_hands_its_files_on(tree: Checkout) -> None:
    text = "FROM base AS p\nWORKDIR /w\nCOPY src /o\nFROM p\nCOPY run.sh /w\n"

    assert places(tree, text) == {**ALL, "run.sh": ["/w/run.sh"]}


def test_a_file_behind_a_copied_link_is_known_by_both_names(tree: Checkout) -> None:
    (tree.root / "link").symlink_to("src/app.py")

    (one,) = placed(tree, "COPY link /opt")

    assert (one.source, str(one.dest), one.name) == ("src/app.py", "/opt", "link")


def test_links_inside_a_folder_are_placed_as_links(tree: Checkout) -> None:
    (tree.root / "src/link").symlink_to("/nowhere")

    assert places(tree, "COPY src /o")["src/link"] == ["/o/link"]


def test_a_file_of_an_additional_context_knows_its_context(tree: Checkout, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/x").touch()
    contexts = (("lib", str(tmp_path / "lib")),)

    (one,) = placements(
        tree.inputs("FROM base\nCOPY --from=lib x /x/\n", additional_contexts=contexts)
    )

    assert (one.context, one.source, str(one.dest)) == ("lib", "x", "/x/x")


@pytest.mark.parametrize(
    ("lines", "derived"),
    [
        ("COPY run.sh /f", False),
        ("RUN x\nCOPY run.sh /f", False),
        ("COPY run.sh /f\nRUN x", True),
        ("COPY run.sh /f\nRUN x\nCOPY run.sh /f", False),
        ("FROM base AS p\nCOPY run.sh /f\nFROM p\nRUN x", True),
        ("FROM base AS p\nCOPY run.sh /f\nRUN x\nFROM base\nCOPY --from=p /f /f", True),
        ("FROM base AS p\nCOPY run.sh /f\nFROM base\nCOPY --from=p /f /f\nRUN x", True),
    ],
)
def test_a_copy_is_derived_once_a_run_could_have_rewritten_it(
    tree: Checkout, lines: str, derived: bool
) -> None:
    assert [one.derived for one in placed(tree, lines)] == [derived]


P = "FROM base AS p\nCOPY run.sh /f\n"


@pytest.mark.parametrize(
    ("lines", "is_read"),
    [
        (f"{P}FROM p", False),
        (f"{P}FROM base AS q\nCOPY --from=p /f /g\nFROM p\nCOPY --from=q /g /g", True),
        (f"{P}FROM base AS q\nRUN --mount=from=p,target=/p x\nFROM p\nCOPY --from=q /m /g", True),
        ("FROM base AS q\nRUN x\nFROM base\nCOPY run.sh /f\nCOPY --from=q /g /g", False),
    ],
)
def test_a_copy_is_read_elsewhere_if_another_stage_reads_its_stage(
    tree: Checkout, lines: str, is_read: bool
) -> None:
    assert {one.is_read_elsewhere for one in placed(tree, lines)} == {is_read}


@pytest.mark.parametrize(
    ("lines", "keeps"),
    [
        ("COPY run.sh /f", True),
        ("COPY --chown=1 run.sh /f", True),
        ("COPY --chmod=755 run.sh /f", False),
        ("FROM base AS p\nCOPY --chmod=755 run.sh /f\nFROM base\nCOPY --from=p /f /f", False),
        ("FROM base AS p\nCOPY run.sh /f\nFROM base\nCOPY --from=p --chmod=755 /f /f", False),
    ],
)
def test_a_mode_is_kept_without_chmod(tree: Checkout, lines: str, keeps: bool) -> None:
    assert [one.keeps_mode for one in placed(tree, lines)] == [keeps]


def test_of_a_dockerfile_that_can_not_be_followed_nothing_is_placed(tree: Checkout) -> None:
    assert placed(tree, "COPY src /o\nCOPY --from=$X /y /z") == ()
