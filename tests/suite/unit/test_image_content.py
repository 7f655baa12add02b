"""The bytes of an image beside those of the tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast

import pytest
from checkout import Checkout, member

from unstale.facts import ArchiveMember
from unstale.image.content import Comparison, Difference, compare, roots
from unstale.ports import Docker

if TYPE_CHECKING:
    from conftest import FakeDocker

APP = PurePosixPath("/app/app.py")
TEXT = "FROM scratch\nCOPY src /app/\n"


@pytest.fixture
def tree(checkout: Checkout) -> Checkout:
    return checkout.write({"src/app.py": "one", "docs/index.md": "hello"})


def compared(
    tree: Checkout, docker: FakeDocker, *held: ArchiveMember, text: str = TEXT
) -> Comparison:
    docker.archives["sha256:1"] = list(held)
    return compare(docker, "sha256:1", tree.inputs(text))


def test_equal_files_do_not_differ(tree: Checkout, docker: FakeDocker) -> None:
    assert compared(tree, docker, member(str(APP), "one")) == Comparison(1, ())


@pytest.mark.parametrize(
    ("held", "change"),
    [
        (member(str(APP), "two"), "modified"),
        (member(str(APP), "one", mode=0o755), "mode"),
        (member(str(APP), "two", mode=0o755), "modified"),
        (ArchiveMember(APP, 0o777, "one", b""), "modified"),
        (member("/app/other.py", "one"), "added"),
    ],
)
def test_a_file_that_differs_is_named(
    tree: Checkout, docker: FakeDocker, held: ArchiveMember, change: str
) -> None:
    found = compared(tree, docker, held)

    assert found.compared == 1
    assert [(d.source, d.path, d.change) for d in found.differences] == [
        ("src/app.py", APP, change)
    ]


def test_a_link_is_compared_by_where_it_points(tree: Checkout, docker: FakeDocker) -> None:
    (tree.root / "src/app.py").unlink()
    (tree.root / "src/app.py").symlink_to("./\udcff")

    assert not compared(tree, docker, ArchiveMember(APP, 0o777, "./\udcff", b"")).differences
    assert compared(tree, docker, ArchiveMember(APP, 0o777, "\udcff", b"")).differences
    # The same bytes in a regular file are no link.
    assert compared(tree, docker, member(str(APP), b"./\xff", mode=0o777)).differences


@pytest.mark.parametrize("text", ["COPY --chmod=755 src /app/", "COPY src /app/\nRUN chmod"])
def test_a_mode_that_the_build_may_have_changed_is_not_compared(
    tree: Checkout, docker: FakeDocker, text: str
) -> None:
    held = member(str(APP), "one", mode=0o755)

    assert not compared(tree, docker, held, text=f"FROM scratch\n{text}\n").differences


def test_what_a_run_may_have_rewritten_is_marked(tree: Checkout, docker: FakeDocker) -> None:
    found = compared(tree, docker, member(str(APP), "two"), text=f"{TEXT}RUN x\n")

    assert found.differences == (Difference("src/app.py", APP, "modified", derived=True),)


def test_a_file_in_a_folder_of_the_base_image_is_found(tree: Checkout, docker: FakeDocker) -> None:
    text = "FROM scratch\nCOPY src/app.py /opt\n"

    assert not compared(tree, docker, member("/opt/app.py", "one"), text=text).differences
    assert not compared(tree, docker, member("/opt", "one"), text=text).differences
    # What is at the place itself counts, whatever lies below another.
    both = (member("/opt", "two"), member("/opt/app.py", "one"))
    assert compared(tree, docker, *both, text=text).differences


def test_only_what_is_below_a_place_is_compared(tree: Checkout, docker: FakeDocker) -> None:
    inputs = tree.inputs(f"{TEXT}COPY docs /docs\n")
    docker.archives["sha256:1"] = [member(str(APP), "one")]

    assert compare(docker, "sha256:1", inputs, below=PurePosixPath("/app")) == Comparison(1, ())
    assert compare(docker, "sha256:1", inputs, below=APP) == Comparison(1, ())
    assert compare(docker, "sha256:1", inputs, below=PurePosixPath("/ap")) == Comparison(0, ())
    assert len(compare(docker, "sha256:1", inputs).differences) == 1


def test_a_place_is_read_once_for_all_files_below_it(tree: Checkout, docker: FakeDocker) -> None:
    tree.write({"src/more.py": ""})

    compared(tree, docker, member(str(APP), "one"), member("/app/more.py"))

    assert docker.looked == [("sha256:1", PurePosixPath("/app"))]


def test_without_a_copied_file_nothing_is_read(tree: Checkout, docker: FakeDocker) -> None:
    assert compared(tree, docker, text="FROM scratch\nENV A=1\n") == Comparison(0, ())
    assert docker.looked == []


@dataclass
class Linked:
    """An engine with one image; *links* are folders in it that lead elsewhere."""

    files: tuple[ArchiveMember, ...]
    links: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    def files_in_image(self, image: str, path: PurePosixPath) -> Iterator[ArchiveMember]:
        """What lies below *path*, which is followed itself: no link in it is."""
        del image
        self.asked.append(str(path))
        behind = [PurePosixPath(link) for link in self.links if link != str(path)]
        for file in self.files:
            if file.path.is_relative_to(path) and not set(behind) & set(file.path.parents):
                yield file


def test_a_file_behind_a_link_of_the_image_is_asked_for_by_its_folder(tree: Checkout) -> None:
    tree.write({"src/sub/more.py": "", "src/sub/same.py": "", "src/a.py": ""})
    held = (member(str(APP), "one"), member("/app/sub/more.py", "new"), member("/app/a.py"))
    docker = Linked((*held, member("/app/sub/same.py")), links=("/app/sub",))

    found = compare(cast("Docker", docker), "sha256:1", tree.inputs(TEXT))

    assert [d.source for d in found.differences] == ["src/sub/more.py"]
    assert docker.asked == ["/app", "/app/sub"]


@pytest.mark.parametrize(("behind", "differs"), [("one", False), ("old", True)])
def test_a_file_that_was_written_through_a_link_of_the_image_is_looked_at_behind_it(
    tree: Checkout, behind: str, differs: bool
) -> None:
    class Behind(Linked):
        def files_in_image(self, image: str, path: PurePosixPath) -> Iterator[ArchiveMember]:
            for file in super().files_in_image(image, path):
                is_asked = path == file.path == APP
                yield member(str(APP), behind) if is_asked else file

    tree.write({"src/more.py": ""})
    docker = Behind((ArchiveMember(APP, 0o777, "/real", b""), member("/app/more.py")))

    found = compare(cast("Docker", docker), "sha256:1", tree.inputs(TEXT))

    assert bool(found.differences) == differs
    assert docker.asked == ["/app", str(APP)]


def test_many_folders_without_their_files_are_not_asked_for_one_by_one(tree: Checkout) -> None:
    tree.write({f"src/{n}/x": "" for n in range(20)})
    docker = Linked(())

    found = compare(cast("Docker", docker), "sha256:1", tree.inputs(TEXT))

    assert len(found.differences) == 21
    assert docker.asked == ["/app"]


def test_a_link_is_asked_for_by_its_folder_since_it_would_be_followed(
    tree: Checkout, docker: FakeDocker
) -> None:
    (tree.root / "src/app.py").unlink()
    (tree.root / "src/app.py").symlink_to("/elsewhere")

    compared(tree, docker, ArchiveMember(APP, 0o777, "/elsewhere", b""))

    assert docker.looked[0] == ("sha256:1", PurePosixPath("/app"))


def test_a_link_right_below_the_root_is_not_looked_for(tree: Checkout, docker: FakeDocker) -> None:
    (tree.root / "docs/link").symlink_to("index.md")

    found = compared(tree, docker, member("/index.md", "hello"), text="FROM scratch\nCOPY docs /\n")

    assert found == Comparison(1, ())
    assert docker.looked == [("sha256:1", PurePosixPath("/index.md"))]


@pytest.mark.parametrize("place", ["/etc/hosts", "/etc/mtab", "/.dockerenv", "/dev/shm/x"])
def test_a_file_in_whose_place_the_engine_puts_its_own_is_not_looked_for(
    tree: Checkout, docker: FakeDocker, place: str
) -> None:
    text = f"FROM scratch\nCOPY docs/index.md {place}\nCOPY docs/index.md /etc/host\n"

    found = compared(tree, docker, member(place), member("/etc/host", "hello"), text=text)

    assert found == Comparison(1, ())


def test_few_places_are_read_and_never_the_root() -> None:
    paths = map(PurePosixPath, ["/app/a/x", "/app/b/y", "/entry.sh", "/etc/app/conf"])

    assert list(map(str, roots(paths))) == ["/app", "/entry.sh", "/etc/app/conf"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/etc/a/x", "/etc/b"], ["/etc/a/x", "/etc/b"]),
        (["/usr/local/bin/x", "/usr/lib/y/z"], ["/usr/lib/y/z", "/usr/local/bin/x"]),
        (["/usr/local/app/x", "/usr/local/app/y"], ["/usr/local/app"]),
        (["/etc", "/etc/a"], ["/etc"]),
        ([], []),
    ],
)
def test_a_folder_that_holds_much_else_is_not_read_whole(
    paths: list[str], expected: list[str]
) -> None:
    assert list(map(str, roots(map(PurePosixPath, paths)))) == expected
