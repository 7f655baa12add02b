"""Contexts on a real engine: where links lead, and what of a path counts."""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import socket
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unstale.image import dockerignore, goglob
from unstale.image.dockerignore import Rules
from unstale.image.tree import ContextTree

LABEL = "dev.unstale.oracle.tree"
IGNORED = "ignored.txt\nidir\n"

FILES = ("real/a.txt", "real/b.py", "real/sub/c.txt", "real2/a.txt", "a.txt", "ignored.txt")
LINKS = {
    "ldir": "real",
    "lfile": "real/a.txt",
    "labs": "/real/a.txt",
    "lup": "../a.txt",
    "lout": "../../etc/hostname",
    "lnone": "nothing",
    "lloop": "lloop2",
    "lloop2": "lloop",
    "lchain": "lfile",
    "lsub": "ldir/sub",
    "lslash": "a.txt/",
    "lself": ".",
    "lignored": "ignored.txt",
    "lidir": "idir",
    "llexical": "ldir/back/../a.txt",
    "llost": "ldir/back/../sub2",
    "lthrough": "a.txt/../real/b.py",
    "real/back": "../real2",
}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A context of a name no build has used: its transfer is a fresh one."""
    root = tmp_path / f"tree-{uuid.uuid4().hex}"
    for path in (*FILES, "idir/x"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    for path, target in LINKS.items():
        (root / path).symlink_to(target)
    (root / ".dockerignore").write_text(IGNORED)
    return root


Copied = dict[str, str]
"""Path below the destination -> a file's text or a link's target; no folders."""


def engine_copies(root: Path, source: str) -> Copied | None:
    """What ``COPY source /o/`` makes; None if the builder refuses."""
    # Without a cache: of a wildcard that matches nothing, its key is blind.
    done = subprocess.run(
        [*("docker", "build", "--quiet", "--no-cache", "--output", "type=tar,dest=-"), "-f-", root],
        input=f"FROM scratch\nCOPY {source} /o/\n".encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        assert b"not found" in done.stderr or b"too many symlinks" in done.stderr, done.stderr
        return None
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as layer:
        return {
            member.name.removeprefix("o/"): _held(layer, member)
            for member in layer
            if not member.isdir()
        }


def _held(layer: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if member.issym():
        return f"-> {member.linkname}"
    file = layer.extractfile(member)
    assert file is not None
    return file.read().decode()


def our_copies(root: Path, source: str) -> Copied | None:
    tree = ContextTree(root, dockerignore.parse(IGNORED))
    found: Copied = {}
    for name in tree.glob(source) if goglob.has_magic(source) else (source,):
        place = tree.resolve(name)
        if place is None:
            return None
        found |= _below(tree, place, posixpath.basename(posixpath.normpath(name)))
    return found


def _below(tree: ContextTree, place: str, name: str) -> Iterator[tuple[str, str]]:
    for path, record in tree.under(place):
        inner = name if path == place else path.removeprefix(f"{place}/")
        if record.kind == "link":
            yield inner, f"-> {os.fsdecode(record.content)}"
        elif record.kind == "file":
            yield inner, (tree.root / path).read_text()


@pytest.mark.parametrize(
    "source",
    [
        *(
            "ldir/a.txt",
            "ldir",
            "ldir/",
            "lfile",
            "labs",
            "lup",
            "lout",
            "lnone",
            "lloop",
            "lchain",
        ),
        *("lslash", "lself", "lignored", "lidir/x", "llexical", "llost", "lthrough", "lsub"),
        *("ldir/back", "ldir/back/a.txt", "ldir/../a.txt", "ldir/back/../a.txt", "../a.txt"),
        *("ldir/*.txt", "lsub/*", "lself/*.txt", "ldir/back/*", "ldir/back/../*.txt"),
        *("*/a.txt", "l*ir/*.txt", "ldir/*/*.txt", "ldir/b*/*", "re*/b*/*", "re*/back/a.txt"),
        *("lf*", "lu*", "ldir/bac*", "ldir/s*", "ln*", "lig*", "ignor*", "[^l]*.txt", "**/*.txt"),
    ],
)
def test_links_lead_where_the_builder_follows_them(context: Path, source: str) -> None:
    assert our_copies(context, source) == engine_copies(context, source)


def test_a_link_to_the_root_is_followed_where_the_builder_refuses(context: Path) -> None:
    assert engine_copies(context, "lself/a.txt") is None
    assert our_copies(context, "lself/a.txt") == {"a.txt": "a.txt"}


def test_a_link_behind_a_wildcard_is_followed_where_the_builder_refuses(context: Path) -> None:
    assert engine_copies(context, "re*/back") is None
    assert our_copies(context, "re*/back") == {"a.txt": "real2/a.txt"}


Make = Callable[[Path], object]


def attribute(place: str, name: str, value: bytes = b"1") -> Make:
    return lambda root: os.setxattr(root / place, name, value, follow_symlinks=False)


def device(kind: int, number: int) -> Make:
    return lambda root: os.mknod(root / "p", kind | 0o644, os.makedev(1, number))


def listen(root: Path) -> None:
    # An address holds about a hundred bytes, a temporary folder's path may have more.
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(root):
        one.bind("p")
    (root / "p").chmod(0o644)


def file(root: Path) -> None:
    (root / "p").write_text("")
    (root / "p").chmod(0o644)


def fifo(root: Path) -> None:
    os.mkfifo(root / "p")
    (root / "p").chmod(0o644)


def nothing(root: Path) -> None:
    del root


CHARACTER, BLOCK = 0o020000, 0o060000
# chown root, effective: the least that the kernel takes for one.
CAPABILITY = bytes.fromhex("0100000201000000000000000000000000000000")

PAIRS: dict[str, tuple[Make, Make]] = {
    "socket, empty file": (listen, file),
    "fifo, socket": (fifo, listen),
    "fifo, file": (fifo, file),
    "device, other number": (device(CHARACTER, 3), device(CHARACTER, 5)),
    "device, other type": (device(CHARACTER, 3), device(BLOCK, 3)),
    "user attribute": (nothing, attribute("f", "user.a")),
    "its value": (attribute("f", "user.a"), attribute("f", "user.a", b"2")),
    "its place": (attribute("f", "user.a"), attribute("s", "user.a")),
    "a folder's": (nothing, attribute("s", "user.a")),
    "the copied folder's": (nothing, attribute(".", "user.a")),
    "a link's": (nothing, attribute("l", "trusted.a")),
    "trusted attribute": (nothing, attribute("f", "trusted.a")),
    "capability": (nothing, attribute("f", "security.capability", CAPABILITY)),
    "other security attribute": (nothing, attribute("f", "security.a")),
    "user attribute of another system": (nothing, attribute("f", "user.com.apple.a")),
    "mode of the copied folder": (nothing, lambda root: root.chmod(0o711)),
    "setgid": (nothing, lambda root: (root / "s").chmod(0o2755)),
    "owner": (nothing, lambda root: os.chown(root / "f", 1, 1)),
    "times": (nothing, lambda root: os.utime(root / "f", (1, 1))),
    "hard link": (
        lambda root: os.link(root / "f", root / "h"),
        lambda root: (root / "h").write_text((root / "f").read_text()),
    ),
}


@pytest.fixture
def built() -> Iterator[str]:
    """The value of a label, all images with which are removed in the end."""
    run = uuid.uuid4().hex
    yield run
    found = subprocess.run(
        ["docker", "image", "ls", "--quiet", "--all", "--filter", f"label={LABEL}={run}"],
        capture_output=True,
        check=True,
        text=True,
    )
    for image in sorted(set(found.stdout.split())):
        subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=True)


def made(root: Path, salt: str, make: Make) -> Path:
    """A context whose folder `d` differs from other tests' by *salt*."""
    (root / "d/s").mkdir(parents=True)
    (root / "d/f").write_text(salt)
    (root / "d/l").symlink_to("f")
    make(root / "d")
    return root


def is_cached(root: Path, label: str, source: str = "d") -> bool:
    done = subprocess.run(
        ["docker", "build", "--progress=plain", "--label", f"{LABEL}={label}", "-f-", root],
        input=f"FROM scratch\nCOPY {source} /o/\n".encode(),
        capture_output=True,
        check=True,
    )
    return b" CACHED" in done.stderr


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_what_counts_for_the_builder_counts_for_us(
    tmp_path: Path, built: str, pair: tuple[Make, Make]
) -> None:
    one, other = (made(tmp_path / f"tree-{uuid.uuid4().hex}", built, make) for make in pair)
    ours = [ContextTree(root, Rules()).digest("d") for root in (one, other)]
    assert not is_cached(one, built)

    assert (ours[0] == ours[1]) is is_cached(other, built)


def test_behind_two_links_and_a_wildcard_the_builder_is_blind_and_we_are_not(
    tmp_path: Path, built: str
) -> None:
    roots = [tmp_path / f"tree-{uuid.uuid4().hex}" for _ in range(2)]
    for number, root in enumerate(roots):
        made(root, built, nothing)
        (root / f"d/s/x.{built}").write_text(f"{number}")
        (root / "ld").symlink_to("d")
        (root / "lsub").symlink_to("ld/s")

    # The pattern's last segment is in its key, so this test has a key of its own.
    assert [is_cached(root, built, f"lsub/*.{built}") for root in roots] == [False, True]

    ours = {ContextTree(root, Rules()).resolve(f"lsub/x.{built}") for root in roots}
    assert ours == {f"d/s/x.{built}"}
    assert len({ContextTree(root, Rules()).digest(f"d/s/x.{built}") for root in roots}) == 2
