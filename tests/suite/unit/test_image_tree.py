from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from unstale.errors import CouldNotTell
from unstale.image import dockerignore
from unstale.image.dockerfile import Unresolved
from unstale.image.statcache import StatCache
from unstale.image.tree import ContextTree

MODE = 0o644


def tree(root: Path, ignore: str = "") -> ContextTree:
    return ContextTree(root, dockerignore.parse(ignore))


def fill(root: Path, *paths: str) -> Path:
    """Make files that hold their own path; a path with a slash at its end is a folder."""
    for path in paths:
        place = root / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(path)
            place.chmod(MODE)
    return root


def sent(root: Path, ignore: str = "") -> list[str]:
    return [path for path, _ in tree(root, ignore).under(".")][1:]


def put(place: Path, *, target: str | None = None, text: str | None = None) -> None:
    """Replace what is at *place* by a link or a file."""
    place.unlink(missing_ok=True)
    if target is not None:
        place.symlink_to(target)
    else:
        place.write_text(text or "")


def swap(one: Path, other: Path) -> None:
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def fifo(place: Path) -> None:
    place.unlink()
    os.mkfifo(place, MODE)


def listen(place: Path) -> None:
    place.unlink()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(place))
    place.chmod(MODE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path, "a/x", "a/y", "b/x", "e/", "same1", "same2")
    (tmp_path / "same2").write_text("same1")
    (tmp_path / "l").symlink_to("a/x")
    return tmp_path


Change = Callable[[Path], object]

CHANGES: dict[str, Change] = {
    "content": lambda root: (root / "a/x").write_text("changed"),
    "mode": lambda root: (root / "a/x").chmod(0o664),
    "setuid": lambda root: (root / "a/x").chmod(0o4644),
    "folder's mode": lambda root: (root / "a").chmod(0o700),
    "empty folder": lambda root: (root / "a/new").mkdir(),
    "new file": lambda root: (root / "a/new").touch(),
    "removed file": lambda root: (root / "a/y").unlink(),
    "rename": lambda root: (root / "a/x").rename(root / "a/z"),
    "rename that keeps the order": lambda root: (root / "a/y").rename(root / "a/z"),
    "renamed folder that keeps the order": lambda root: (root / "b").rename(root / "c"),
    "move": lambda root: (root / "a/y").rename(root / "b/y"),
    "renamed folder": lambda root: (root / "a").rename(root / "c"),
    "link's target": lambda root: put(root / "l", target="a/y"),
    "file for link": lambda root: put(root / "l", text="a/x"),
    "link for file": lambda root: put(root / "b/x", target="a/x"),
    "file for folder": lambda root: ((root / "e").rmdir(), (root / "e").touch()),
    "fifo for file": lambda root: fifo(root / "a/x"),
    "socket for file": lambda root: listen(root / "a/x"),
    "attribute": lambda root: os.setxattr(root / "a/x", "user.a", b"1"),
    "folder's attribute": lambda root: os.setxattr(root / "a", "user.a", b"1"),
    "swapped contents": lambda root: swap(root / "a/x", root / "a/y"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_the_builder_sees_is_in_the_digest(root: Path, change: Change) -> None:
    before = tree(root).digest(".")

    change(root)

    assert tree(root).digest(".") != before


NO_CHANGES: dict[str, Change] = {
    "nothing": lambda root: root,
    "touch": lambda root: os.utime(root / "a/x", (1, 1)),
    "touched folder": lambda root: os.utime(root / "a", (1, 1)),
    "touched link": lambda root: os.utime(root / "l", (1, 1), follow_symlinks=False),
    "root's mode": lambda root: root.chmod(0o700),
    "new inode": lambda root: (
        shutil.copy2(root / "a/x", root / "t"),
        swap(root / "t", root / "a/x"),
        (root / "t").unlink(),
    ),
    "hard link for copy": lambda root: (
        (root / "same2").unlink(),
        os.link(root / "same1", root / "same2"),
    ),
    "other target's content": lambda root: (root.parent / "outside").write_text("1"),
}


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_the_builder_does_not_see_is_not_in_the_digest(root: Path, change: Change) -> None:
    put(root / "out", target="../outside")
    before = tree(root).digest(".")

    change(root)

    assert tree(root).digest(".") == before


def test_a_socket_is_sent_as_an_empty_file(root: Path) -> None:
    (root / "a/x").write_text("")
    before = tree(root).digest("a")

    listen(root / "a/x")

    assert tree(root).digest("a") == before


def test_the_value_of_an_attribute_is_in_the_digest(root: Path) -> None:
    os.setxattr(root / "a/x", "user.a", b"1")
    before = tree(root).digest("a")

    os.setxattr(root / "a/x", "user.a", b"2")

    assert tree(root).digest("a") != before


def test_a_fifo_is_not_a_socket(root: Path) -> None:
    fifo(root / "a/x")
    before = tree(root).digest("a")

    listen(root / "a/x")

    assert tree(root).digest("a") != before


def test_a_digest_is_of_what_is_below_its_path(root: Path) -> None:
    before = tree(root).digest("a")

    (root / "b/x").write_text("changed")
    (root / "b/y").touch()

    assert tree(root).digest("a") == before


def test_what_is_not_there_has_a_digest_unlike_an_empty_file(root: Path) -> None:
    put(root / "empty")

    assert len({tree(root).digest(path) for path in ("nothing", "empty", "e", ".")}) == 4


def test_where_a_file_ends_and_the_next_begins_is_in_the_digest(tmp_path: Path) -> None:
    for at, names in enumerate((("ab", "c"), ("a", "bc"), ("a/b", "c"))):
        fill(tmp_path / str(at), *names)
        for name in names:
            (tmp_path / str(at) / name).write_text("")

    assert len({tree(tmp_path / str(at)).digest(".") for at in range(3)}) == 3


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [
        ("", ["a", "a/x", "a/y", "e", "z"]),
        ("a", ["e", "z"]),
        ("a\n!a/x", ["a", "a/x", "e", "z"]),
        ("a\n!a/none", ["e", "z"]),
        ("a/*", ["a", "e", "z"]),
        ("e\nz", ["a", "a/x", "a/y"]),
        ("*", []),
        ("*\n!a/y", ["a", "a/y"]),
    ],
)
def test_rules_decide_what_is_sent(tmp_path: Path, ignore: str, expected: list[str]) -> None:
    fill(tmp_path, "a/x", "a/y", "e/", "z")

    assert sent(tmp_path, ignore) == expected


def test_a_file_that_is_left_out_is_not_in_the_digest(root: Path) -> None:
    before = tree(root, "**/y").digest(".")

    (root / "a/y").write_text("changed")
    (root / "b/y").touch()

    assert tree(root, "**/y").digest(".") == before


def test_a_folder_that_is_left_out_counts_once_something_in_it_is_not(root: Path) -> None:
    fill(root, "deep/er/x")
    ignore = "deep\n!deep/er/kept"
    before = tree(root, ignore)
    digest = before.digest(".")

    fill(root, "deep/er/kept")

    assert before.record("deep/er") is None
    assert tree(root, ignore).names("deep") == ("er",)
    assert tree(root, ignore).digest(".") != digest


def test_a_folder_of_which_nothing_is_sent_does_not_count(root: Path) -> None:
    ignore = "deep\n!deep/er/kept"
    before = tree(root, ignore).digest(".")

    fill(root, "deep/er/x")

    assert tree(root, ignore).names(".") == ("a", "b", "e", "l", "same1", "same2")
    assert tree(root, ignore).digest(".") == before


def test_odd_names_are_told_apart(tmp_path: Path) -> None:
    names = (b"new\nline", b"\xff", b"\xfe", b"#", b" ", b"\xc3\xa9", b"\\")
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).touch()  # noqa: PTH118

    found = tree(tmp_path)

    assert {os.fsencode(name) for name in found.names(".")} == set(names)
    assert all(found.record(name) for name in found.names("."))
    assert len(found.digest(".")) == 32


def test_a_record_says_what_is_sent(root: Path) -> None:
    found = tree(root)
    link, file, folder = (found.record(path) for path in ("l", "a/x", "a"))

    assert link
    assert (link.kind, link.mode, link.content) == ("link", 0o777, b"a/x")
    assert file
    assert (file.kind, file.mode, len(file.content)) == ("file", MODE, 32)
    assert folder
    assert (folder.kind, folder.content) == ("folder", b"")


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_a_file_of_any_size_is_known_by_its_sha256(tmp_path: Path, size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    (tmp_path / "x").write_bytes(content)

    record = tree(tmp_path).record("x")

    assert record
    assert record.content == hashlib.sha256(content).digest()


def test_a_file_that_grows_meanwhile_is_read_to_its_end(root: Path) -> None:
    found = tree(root)
    found.names("a")
    (root / "a/x").write_bytes(b"longer than it was when the folder was listed")

    record = found.record("a/x")

    assert record
    assert record.content == hashlib.sha256((root / "a/x").read_bytes()).digest()


def no_xattrs(*_: object, **__: object) -> list[str]:
    raise OSError(errno.ENOTSUP, "Operation not supported")


def broken_xattrs(*_: object, **__: object) -> list[str]:
    raise OSError(errno.EIO, "Input/output error")


def test_a_file_system_without_attributes_has_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(root).digest(".")

    monkeypatch.setattr(os, "listxattr", no_xattrs)

    assert tree(root).digest(".") == before


def test_a_system_without_attributes_has_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(root).digest(".")

    monkeypatch.delattr(os, "listxattr")  # as on macOS

    assert tree(root).digest(".") == before


def test_attributes_that_cannot_be_read_are_not_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listxattr", broken_xattrs)

    with pytest.raises(CouldNotTell, match="Input/output error"):
        tree(root).digest(".")


@pytest.mark.parametrize("path", ["nothing", "a/x/below", "l/below", "a/nothing", "no/thing"])
def test_nothing_has_no_record(root: Path, path: str) -> None:
    assert tree(root).record(path) is None


LINKS = {
    "link": "real/f",
    "dir": "real",
    "absolute": "/real/f",
    "out": "../../etc/passwd",
    "above": "../real/f",
    "dangling": "nothing",
    "loop": "loop2",
    "loop2": "loop",
    "chain": "link",
    "real/up": "../dir",
    "left": "ignored",
    "self": ".",
    "below": "f.txt/x",
    "lexical": "real/up/../f",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("link", "real/f"),
        ("dir", "real"),
        ("dir/f", "real/f"),
        ("absolute", "real/f"),
        ("out", None),
        ("above", "real/f"),
        ("dangling", None),
        ("loop", None),
        ("chain", "real/f"),
        ("real/up/f", "real/f"),
        ("left", None),
        ("ignored", None),
        ("self", "."),
        ("self/self/f.txt", "f.txt"),
        ("below", None),
        ("lexical", "real/f"),
        ("dir/up/../f", "real/f"),
        ("f.txt", "f.txt"),
        ("../f.txt", "f.txt"),
        ("./real//f", "real/f"),
        ("f.txt/x", None),
        ("nothing", None),
        (".", "."),
    ],
)
def test_links_lead_to_what_is_in_the_context(
    tmp_path: Path, path: str, expected: str | None
) -> None:
    fill(tmp_path, "real/f", "f.txt", "ignored")
    for name, target in LINKS.items():
        (tmp_path / name).symlink_to(target)

    assert tree(tmp_path, "ignored").resolve(path) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ("a.txt", "b.py", "d", "e", "l")),
        ("*.txt", ("a.txt",)),
        ("**/*.txt", ("d/c.txt", "e/.txt")),
        ("*/*", ("d/c.txt", "d/f", "e/.txt")),
        ("l/*.txt", ("l/c.txt",)),
        ("d/f/*", ("d/f/g",)),
        ("[ab].*", ("a.txt", "b.py")),
        ("poetry.loc[k]", ()),
        ("a.txt", ("a.txt",)),
        ("/a.txt", ("a.txt",)),
        ("x/../../a.txt", ("a.txt",)),
        ("nothing", ()),
        (".", (".",)),
        ("l", ("l",)),
    ],
)
def test_a_pattern_stands_for_paths(tmp_path: Path, pattern: str, expected: tuple[str]) -> None:
    fill(tmp_path, "a.txt", "b.py", "d/c.txt", "d/f/g", "e/.txt", "x.ignored")
    (tmp_path / "l").symlink_to("d")

    assert tree(tmp_path, "*.ignored").glob(pattern) == expected


def test_a_malformed_pattern_is_unresolved(root: Path) -> None:
    with pytest.raises(Unresolved, match=r"\[a-"):
        tree(root).glob("[a-")


@pytest.fixture
def looked(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were looked into."""
    places: list[str] = []
    real = os.open

    def note(place: str, flags: int, *options: int, **named: int) -> int:
        if flags & os.O_DIRECTORY and Path(place).is_relative_to(root):
            places.append(str(place))
        return real(place, flags, *options, **named)

    monkeypatch.setattr(os, "open", note)
    return places


def test_only_what_is_asked_for_is_looked_into(root: Path, looked: list[str]) -> None:
    tree(root, "b").digest("a")

    assert looked == [str(root), str(root / "a")]


def test_a_folder_that_is_left_out_is_not_looked_into(root: Path, looked: list[str]) -> None:
    tree(root, "a\ne").digest(".")

    assert looked == [str(root), str(root / "b")]


def test_trees_of_one_root_look_into_a_folder_once(root: Path, looked: list[str]) -> None:
    cache = StatCache()

    for ignore in ("", "*.x", "b"):
        ContextTree(root, dockerignore.parse(ignore), cache).digest("a")

    assert looked == [str(root), str(root / "a")]


@pytest.fixture
def unreadable(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose file a/x refuses to be opened, whoever asks: root may read all."""
    real = os.open

    def refuse(place: str, *options: int, **named: int) -> int:
        if str(place).endswith("a/x"):
            raise PermissionError(13, "Permission denied", place)
        return real(place, *options, **named)

    monkeypatch.setattr(os, "open", refuse)
    return root


def test_a_file_that_cannot_be_read_is_named(unreadable: Path) -> None:
    with pytest.raises(CouldNotTell, match=r"(?s)a/x.*Permission denied.*Next: "):
        tree(unreadable).digest(".")


def test_a_file_that_went_away_meanwhile_is_named(root: Path) -> None:
    found = tree(root)
    found.names("a")
    (root / "a/x").unlink()

    with pytest.raises(CouldNotTell, match=r"(?s)a/x.*meanwhile.*Next: try again"):
        found.record("a/x")


def test_a_context_that_is_not_there_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(CouldNotTell, match="No such file"):
        tree(tmp_path / "nothing").digest(".")


def test_a_file_that_nobody_needs_may_be_unreadable(unreadable: Path) -> None:
    found = tree(unreadable)

    assert found.digest("b")
    assert found.names("a") == ("x", "y")
    assert tree(unreadable, "a/x").digest(".")
