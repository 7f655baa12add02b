"""Ignore files on a real engine: what is in the image is what we say is sent.

One build takes many contexts, each by a name of its own with its own ignore
file, so that all cases cost a few builds. The paths that are left out are from
the unit test's table, which claims to hold what BuildKit does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import subprocess
import tarfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from ignoring import CASES, Context, random_context, sent

from unstale.errors import CouldNotTell

TABLES = Path(__file__).parents[2] / "unit" / "test_image_dockerignore.py"

BATCH = 40

# So many paths that a pattern which means something else shows.
AROUND = tuple(
    os.fsencode(path)
    for path in (
        *(
            "a",
            "ab",
            "b",
            "x.js",
            "5x",
            "dx",
            "docs/a/b.txt",
            "docs/c",
            "lib/a.py",
            "lib/x/",
            "empty/",
        ),
        *(
            "a b",
            "a.b",
            "a{2}",
            "a^bc",
            "aab",
            "-b",
            "#x",
            "!x",
            "]",
            "\u00e9",
            "a\udcff",
            "a\ufffd",
        ),
    )
)


def tables() -> tuple[list[tuple[str, str, bool]], list[tuple[bytes, bytes, bool]]]:
    """The unit tests' cases: ignore file, path, left out; as text, and as bytes."""
    spec = importlib.util.spec_from_file_location("ignore_tables", TABLES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CASES, module.INVALID


def context(ignore: bytes, path: bytes) -> Context:
    """*path* and others that don't get in its way."""
    others = [
        other
        for other in AROUND
        if not other.startswith((path.rstrip(b"/") + b"/", path.rstrip(b"/")))
        and not path.startswith(other.rstrip(b"/") + b"/")
    ]
    return Context(ignore, (path, *others))


def build(dockerfile: Path, contexts: Sequence[Path]) -> subprocess.CompletedProcess[bytes]:
    """Copy each context into a folder of an image, and write that to stdout as tar.

    The names are new ones: of one that it knows, an engine may keep old files.
    """
    run = uuid.uuid4().hex[:8]
    copies = [f"COPY --from=c{run}{at} . /{at}/\n" for at in range(len(contexts))]
    dockerfile.write_text("FROM scratch\n" + "".join(copies))
    names = [f"--build-context=c{run}{at}={root}" for at, root in enumerate(contexts)]
    # The build's own context is a folder with nothing in it.
    own = dockerfile.parent / f"own-{run}"
    own.mkdir()
    return subprocess.run(
        ("docker", "build", "-q", "-f", dockerfile, *names, "--output=type=tar,dest=-", own),
        capture_output=True,
        check=False,
    )


def listed(answer: subprocess.CompletedProcess[bytes], count: int) -> list[set[bytes]]:
    """The paths in each of *count* folders of the image."""
    assert answer.returncode == 0, answer.stderr.decode()
    found: list[set[bytes]] = [set() for _ in range(count)]
    with tarfile.open(fileobj=io.BytesIO(answer.stdout), errors="surrogateescape") as tar:
        for member in tar.getmembers():
            number, _, path = os.fsencode(member.name).partition(b"/")
            if path:
                found[int(number)].add(path)
    return found


def built(tmp_path: Path, contexts: Sequence[Path]) -> list[set[bytes]]:
    found: list[set[bytes]] = []
    for start in range(0, len(contexts), BATCH):
        batch = contexts[start : start + BATCH]
        found += listed(build(tmp_path / "Dockerfile", batch), len(batch))
    return found


def test_the_image_holds_what_we_say_is_sent(tmp_path: Path) -> None:
    text, invalid = tables()
    cases = [(os.fsencode(ignore), os.fsencode(path), out) for ignore, path, out in text] + invalid
    roots = []
    for number, (ignore, path, _) in enumerate(cases):
        roots.append(tmp_path / str(number))
        roots[-1].mkdir()
        context(ignore, path).write(roots[-1])
    found = built(tmp_path, roots)

    for (ignore, path, out), root, copied in zip(cases, roots, found, strict=True):
        assert (path not in copied) is out, (ignore, path)
        assert copied == sent(root), (ignore, copied ^ sent(root))


def test_of_random_contexts_the_image_holds_what_we_say_is_sent(tmp_path: Path) -> None:
    ours: dict[Path, set[bytes]] = {}
    for number in range(CASES):
        root = tmp_path / str(number)
        root.mkdir()
        random_context(number).write(root)
        with contextlib.suppress(CouldNotTell):
            ours[root] = sent(root)
    found = built(tmp_path, list(ours))

    assert len(ours) > 0.65 * CASES
    for (root, expected), copied in zip(ours.items(), found, strict=True):
        assert copied == expected, (root.name, copied ^ expected)


REFUSED = [
    b"[",
    b"[a",
    b"[a-",
    b"[]a]",
    b"[-x]",
    b"!",
    b"! ",
    b"!/",
    b"a\\",
    b".*[a-]",
    b"?*[]a]",
    b"a*[",
    rb"\k*",
    rb"\1*",
    rb"\x4?",
    "\\\u00e9".encode(),
    rb"[\b]",
    rb"\x{110000}*",
    b"*{2}",
    b"a{2}{3}*",
    b"a|{2}*",
    b"a{2,1}*",
    b"a{1001}*",
    rb"a{40}\Q\E{40}*",
    b"[z-a]",
    b"[[:foo:]]",
    b"a\tb",
    b"a\x7f",
    b"a\x00b",
    b"a" * 65536,
    b"\xef\xbb\xbf" + b"a" * 65533,
    b"a" * 65535 + b"\r",
]


@pytest.mark.parametrize("ignore", REFUSED, ids=lambda ignore: repr(ignore[:16])[2:-1])
def test_the_build_refuses_what_we_refuse(tmp_path: Path, ignore: bytes) -> None:
    root = tmp_path / "context"
    root.mkdir()
    Context(ignore, (b"z",)).write(root)

    assert build(tmp_path / "Dockerfile", [root]).returncode
    with pytest.raises(CouldNotTell):
        sent(root)


def test_a_builds_own_context_is_read_like_an_additional_one(tmp_path: Path) -> None:
    # A name of its own: of one that it knows, an engine may keep old files.
    root = tmp_path / f"own-{uuid.uuid4().hex[:8]}"
    root.mkdir()
    Context(b"/*\n!lib\n**/*.py[co]\n!docs/a/*.txt\n\\d*\n", AROUND).write(root)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /0/\n")
    command = ("docker", "build", "-q", "-f", tmp_path / "Dockerfile", "--output=type=tar,dest=-")

    answer = subprocess.run((*command, root), capture_output=True, check=False)

    assert listed(answer, 1) == [sent(root)]
    assert {b"lib/a.py", b"docs", b"docs/a/b.txt"} <= sent(root)
    assert not {b"docs/c", b"5x"} & sent(root)


def test_the_longest_line_is_read(tmp_path: Path) -> None:
    root = tmp_path / "context"
    root.mkdir()
    Context(b"a\n" + b"b" * 65535 + b"\nc", (b"a", b"c", b"z")).write(root)

    assert built(tmp_path, [root]) == [{b".dockerignore", b"z"}]
    assert sent(root) == {b".dockerignore", b"z"}
