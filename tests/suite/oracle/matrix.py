"""The semantics matrix (what a build reads) as scenarios: before, after, expected.

Each row's expectation was verified on an engine once; here the engine must
agree with it again, and we must agree with the engine.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from scenario import Node, Scenario, build, fifo, file, folder, having_paths, link, twin

Expected = Literal["stale", "fresh", "refused"]

SHELL = "FROM unstale-oracle/plain\n"
RERUN = "RUN cat /proc/sys/kernel/random/uuid > /w/r\n"
"""A step that shows in the layers each time it runs."""
ALL = "FROM scratch\nCOPY . /o/d/\n"
SRC = "FROM scratch\nCOPY src /o/d/\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A mutation and what it must do to the image."""

    name: str
    row: str
    before: Scenario
    after: Scenario
    expected: Expected


def changed(
    row: str, name: str, before: Scenario, expected: Expected, **entries: Node | str | None
) -> Case:
    """Only files of the context change; the key ``_`` stands for a dot, ``__`` for a slash."""
    paths = {key.replace("__", "/").replace("_DOT_", "."): value for key, value in entries.items()}
    return Case(name, row, before, having_paths(before, paths), expected)


def files(
    row: str,
    name: str,
    before: Scenario,
    entries: Mapping[str, Node | str | None],
    expected: Expected,
) -> Case:
    """Only *entries* of the context change."""
    return Case(name, row, before, having_paths(before, entries), expected)


def text(
    row: str,
    name: str,
    before: str,
    after: str,
    expected: Expected,
    entries: Mapping[str, Node | str] | None = None,
) -> Case:
    """Only the Dockerfile changes."""
    found = entries if entries is not None else {"src/a": "a"}
    return Case(name, row, build(before, found), build(after, found), expected)


def args(
    row: str,
    name: str,
    dockerfile: str,
    before: Mapping[str, str],
    after: Mapping[str, str],
    expected: Expected,
) -> Case:
    """Only the build args change."""
    one, two = (
        build(dockerfile, {"src/a": "a", "lib/b": "b"}, args=tuple(sorted(given.items())))
        for given in (before, after)
    )
    return Case(name, row, one, two, expected)


_BASIC = build(SRC, {"src/a": "a", "src/sub/b": "b", "docs/c": "c"})
_WHOLE = build(
    ALL, {"src/a": "a", "src/sub/b": "b", "docs/c": "c", ".dockerignore": "docs\nDockerfile\n"}
)
_CHMOD = build("FROM scratch\nCOPY --chmod=600 src /o/d/\n", {"src/a": "a"})
_ODD = {"src/sp ace": "1", "src/new\nline": "2", "src/#hash": "3", "src/b\udcff\udcfe": "4"}
_LINKS = build(
    SRC, {"src/a": "a", "src/l": link("a"), "src/out": link("../lib/x"), "lib/x": "x", "lib/y": "y"}
)


def _mode(mode: int, before: int = 0o644) -> Case:
    scenario = having_paths(_BASIC, {"src/a": file("a", before)})
    return files(
        "a-mode", f"mode {before:o} to {mode:o}", scenario, {"src/a": file("a", mode)}, "stale"
    )


ATTRIBUTES: tuple[Case, ...] = (
    files("a-content", "content, other size", _BASIC, {"src/a": "aa"}, "stale"),
    files("a-content", "content, same size and mtime", _BASIC, {"src/a": "b"}, "stale"),
    files("a-content", "content in a subfolder", _BASIC, {"src/sub/b": "x"}, "stale"),
    files("a-unread", "a file that is not copied", _BASIC, {"docs/c": "x"}, "fresh"),
    files("a-unread", "a file that is ignored", _WHOLE, {"docs/c": "x"}, "fresh"),
    files("a-unread", "a new file that is ignored", _WHOLE, {"docs/d": "x"}, "fresh"),
    files("a-mtime", "touch", _BASIC, {"src/a": Node(text="a", mtime_s=9)}, "fresh"),
    files("a-mtime", "touch a folder", _BASIC, {"src/sub": Node("folder", "", 0o755, 9)}, "fresh"),
    *(_mode(mode) for mode in (0o664, 0o600, 0o755, 0o4644, 0o1644, 0o444, 0o640, 0o645)),
    _mode(0o4755, 0o755),
    files("a-mode-chmod", "mode under --chmod", _CHMOD, {"src/a": file("a", 0o755)}, "stale"),
    files("a-owner", "owner", _BASIC, {"src/a": Node(text="a", foreign=True)}, "fresh"),
    files("a-xattr", "xattr set", _BASIC, {"src/a": Node(text="a", xattr="1")}, "stale"),
    files("a-empty-folder", "empty folder added", _BASIC, {"src/new": folder()}, "stale"),
    files(
        "a-empty-folder",
        "empty folder removed",
        having_paths(_BASIC, {"src/new": folder()}),
        {"src/new": None},
        "stale",
    ),
    files("a-folder-mode", "mode of a subfolder", _BASIC, {"src/sub": folder(0o775)}, "stale"),
    files("a-folder-mode", "mode of the copied folder", _BASIC, {"src": folder(0o775)}, "stale"),
    Case("mode of the root", "a-root-mode", _WHOLE, replace(_WHOLE, root_mode=0o700), "fresh"),
    files(
        "a-root-mode",
        "mode of a copied file's folder",
        build("FROM scratch\nCOPY src/a /o/d/\n", {"src/a": "a"}),
        {"src": folder(0o700)},
        "fresh",
    ),
    files("a-rename", "rename", _BASIC, {"src/a": None, "src/b": "a"}, "stale"),
    files(
        "a-rename",
        "rename below a fixed destination",
        build("FROM scratch\nCOPY x* /o/f\n", {"x1": "a"}),
        {"x1": None, "x2": "a"},
        "stale",
    ),
    files("a-rename", "rename of a folder", _BASIC, {"src/sub/b": None, "src/bus/b": "b"}, "stale"),
    files(
        "a-hardlink",
        "two copies become a hard link",
        build(SRC, {"src/a": "a", "src/b": "a"}),
        {"src/b": twin("src/a")},
        "fresh",
    ),
    files(
        "a-hardlink",
        "a hard link becomes two copies",
        build(SRC, {"src/a": "a", "src/b": twin("src/a")}),
        {"src/b": "a"},
        "fresh",
    ),
    files("a-link", "retargeted link", _LINKS, {"src/l": link("./a")}, "stale"),
    files("a-link", "file becomes a link", _LINKS, {"src/a": link("out")}, "stale"),
    files("a-link", "link becomes a file", _LINKS, {"src/l": "a"}, "stale"),
    files("a-link-in-tree", "target outside of the tree", _LINKS, {"lib/x": "new"}, "fresh"),
    files(
        "a-link-copied",
        "target of a copied link",
        build("FROM scratch\nCOPY l /o/d/\n", {"l": link("lib/x"), "lib/x": "x"}),
        {"lib/x": "new"},
        "stale",
    ),
    files(
        "a-link-copied",
        "target of a copied absolute link",
        build("FROM scratch\nCOPY l /o/d/\n", {"l": link("/lib/x"), "lib/x": "x"}),
        {"lib/x": "new"},
        "stale",
    ),
    files(
        "a-link-copied",
        "below a linked folder",
        build("FROM scratch\nCOPY l/x /o/d/\n", {"l": link("lib"), "lib/x": "x", "lib/y": "y"}),
        {"lib/x": "new"},
        "stale",
    ),
    files(
        "a-link-copied",
        "beside the file below a linked folder",
        build("FROM scratch\nCOPY l/x /o/d/\n", {"l": link("lib"), "lib/x": "x", "lib/y": "y"}),
        {"lib/y": "new"},
        "fresh",
    ),
    files(
        "a-link-copied",
        "a copied link to a folder",
        build("FROM scratch\nCOPY l /o/d/\n", {"l": link("lib"), "lib/x": "x"}),
        {"lib/x": "new"},
        "stale",
    ),
    files(
        "a-link-outside",
        "a copied link now leads out",
        build("FROM scratch\nCOPY l /o/d/\n", {"l": link("lib"), "lib/x": "x"}),
        {"l": link("../../../../../nowhere")},
        "refused",
    ),
    files(
        "a-link-outside",
        "a copied link's target is now ignored",
        build("FROM scratch\nCOPY l /o/d/\n", {"l": link("lib"), "lib/x": "x"}),
        {".dockerignore": "lib\n"},
        "refused",
    ),
    files(
        "a-dangling",
        "a dangling link within",
        build(SRC, {"src/a": "a", "src/l": link("nope")}),
        {"src/l": link("nope2")},
        "stale",
    ),
    files(
        "a-dangling",
        "what a dangling link would name",
        build(SRC, {"src/a": "a", "src/l": link("../nope")}),
        {"nope": "now there"},
        "fresh",
    ),
    files("a-fifo", "a fifo appears", _BASIC, {"src/pipe": fifo()}, "stale"),
    *(
        files("a-names", f"odd name {name!r}", build(SRC, _ODD), {name: "x"}, "stale")
        for name in _ODD
    ),
    files(
        "a-names",
        "rename between invalid names",
        build(SRC, {"src/b\udcff": "4"}),
        {"src/b\udcff": None, "src/b\udcfe": "4"},  # noqa: F601 - they differ
        "stale",
    ),
    files(
        "a-git",
        "git's index is rewritten",
        build(ALL, {".git/index": "1", "a": "a"}),
        {".git/index": "2"},
        "stale",
    ),
)


def _ignoring(rules: str, entries: Mapping[str, Node | str] | None = None) -> Scenario:
    found = entries or {"src/a": "a", "src/sub/b.md": "b", "docs/c.md": "c", "e.md": "e"}
    return build(ALL, {**found, ".dockerignore": f"Dockerfile\n.dockerignore\n{rules}"})


def _ignored(row: str, name: str, rules: str, path: str, expected: Expected) -> Case:
    return files(row, f"{name}: {path}", _ignoring(rules), {path: "new"}, expected)


_OWN = "Dockerfile.dockerignore"
IGNORING: tuple[Case, ...] = (
    _ignored("b-order", "last rule wins", "*.md\n!e.md\n", "e.md", "stale"),
    _ignored("b-order", "last rule wins again", "!e.md\n*.md\n", "e.md", "fresh"),
    _ignored("b-order", "re-included below", "docs\n!docs/c.md\n", "docs/c.md", "stale"),
    files(
        "b-order",
        "a parent of a re-included file",
        _ignoring("docs\n!docs/c.md\n"),
        {"docs": folder(0o700)},
        "stale",
    ),
    _ignored("b-starstar", "any depth", "**/*.md\n", "src/sub/b.md", "fresh"),
    _ignored("b-starstar", "depth of zero", "**/e.md\n", "e.md", "fresh"),
    _ignored("b-starstar", "one star is one level", "*.md\n", "src/sub/b.md", "stale"),
    _ignored("b-slashes", "leading and trailing", "/docs/\n", "docs/c.md", "fresh"),
    _ignored("b-slashes", "cleaned", "src/../docs//\n", "docs/c.md", "fresh"),
    _ignored("b-dot", "dot", ".\n", "src/a", "stale"),
    _ignored("b-dot", "above", "../src\n", "src/a", "stale"),
    _ignored("b-comment", "comment", "#docs\n", "docs/c.md", "stale"),
    _ignored("b-bom-crlf", "CRLF", "docs\r\ne.md\r\n", "docs/c.md", "fresh"),
    files(
        "b-bom-crlf",
        "byte order mark",
        build(ALL, {"docs/c": "c", ".dockerignore": "\ufeffdocs\nDockerfile\n.dockerignore\n"}),
        {"docs/c": "new"},
        "fresh",
    ),
    _ignored("b-space", "space after the mark", "docs\n! docs/c.md\n", "docs/c.md", "stale"),
    _ignored("b-space", "spaces around", "  docs \t\n", "docs/c.md", "fresh"),
    _ignored("b-class", "negated class", "[^a-d]ocs\n", "docs/c.md", "stale"),
    _ignored("b-class", "class", "[a-d]ocs\n", "docs/c.md", "fresh"),
    files("b-class", "bad pattern", _ignoring(""), {".dockerignore": "[a-\n"}, "refused"),
    _ignored("b-regexp", "a caret never matches", "e^*.md\n", "e.md", "stale"),
    _ignored("b-case", "case", "DOCS\n", "docs/c.md", "stale"),
    files(
        "b-own-file",
        "the Dockerfile's own file wins",
        build(ALL, {"a": "a", "b": "b", ".dockerignore": "a\n*ocker*\n", _OWN: "b\n*ocker*\n"}),
        {"b": "new"},
        "fresh",
    ),
    files(
        "b-own-file",
        "no merge",
        build(ALL, {"a": "a", "b": "b", ".dockerignore": "a\n", _OWN: "b\n*ocker*\n"}),
        {"a": "new"},
        "stale",
    ),
    files(
        "b-own-file",
        "an empty one wins",
        build(SRC, {"src/a": "a", ".dockerignore": "src/a\n", _OWN: ""}),
        {"src/a": "new"},
        "stale",
    ),
    files(
        "b-own-file",
        "its effect on what is copied",
        build(SRC, {"src/a": "a", "src/b": "b", _OWN: "src/b\n"}),
        {_OWN: "src/a\n"},
        "stale",
    ),
    Case(
        "beside a Dockerfile outside of the context",
        "b-own-file",
        build(
            "",
            {"src/a": "a", "src/b": "b"},
            dockerfile="../beside/D",
            beside={"D": file(SRC), "D.dockerignore": file("src/b\n")},
        ),
        build(
            "",
            {"src/a": "a", "src/b": "new"},
            dockerfile="../beside/D",
            beside={"D": file(SRC), "D.dockerignore": file("src/b\n")},
        ),
        "fresh",
    ),
    files(
        "b-own-inline",
        "an inline Dockerfile has no file of its own",
        build(
            "",
            {"src/a": "a", "src/b": "b", ".dockerignore": "src/b\n", _OWN: "src/a\n"},
            inline=SRC,
        ),
        {"src/b": "new"},
        "fresh",
    ),
    files(
        "b-symlink",
        "a linked ignore file",
        build(
            SRC, {"src/a": "a", "src/b": "b", ".dockerignore": link("rules"), "rules": "src/b\n"}
        ),
        {"src/b": "new"},
        "fresh",
    ),
    files(
        "b-symlink",
        "the rules behind a link",
        build(
            SRC, {"src/a": "a", "src/b": "b", ".dockerignore": link("rules"), "rules": "src/b\n"}
        ),
        {"rules": "src/a\n"},
        "stale",
    ),
    files(
        "b-symlink",
        "the rules behind an absolute link",
        build(
            SRC,
            {"src/a": "a", "src/b": "b", ".dockerignore": link("/rules"), "rules": "src/b\n"},
        ),
        {"rules": "src/a\n"},
        "stale",
    ),
    files(
        "b-symlink",
        "an ignore file that is a folder",
        build(SRC, {"src/a": "a", ".dockerignore/x": "src\n"}),
        {"src/a": "new"},
        "stale",
    ),
    files(
        "b-ignored-dockerfile",
        "comment in an ignored Dockerfile",
        build(ALL, {"a": "a", ".dockerignore": "Dockerfile\n"}),
        {"Dockerfile": f"{ALL}# new\n"},
        "fresh",
    ),
    files(
        "b-ignored-dockerfile",
        "comment in a copied Dockerfile",
        build(ALL, {"a": "a"}),
        {"Dockerfile": f"{ALL}# new\n"},
        "stale",
    ),
    files(
        "b-self",
        "bytes of a copied ignore file",
        build(ALL, {"a": "a", ".dockerignore": "docs\n"}),
        {".dockerignore": "docs\n# new\n"},
        "stale",
    ),
    files(
        "b-self",
        "bytes of an ignore file that ignores itself",
        _ignoring("docs\n"),
        {".dockerignore": "Dockerfile\n.dockerignore\ndocs\n# new\n"},
        "fresh",
    ),
    files(
        "b-copy-ignored",
        "an ignored literal",
        build("FROM scratch\nCOPY src/a /o/d/\n", {"src/a": "a"}),
        {".dockerignore": "src/a\n"},
        "refused",
    ),
    files(
        "b-copy-ignored",
        "an ignored glob copies nothing",
        build(
            "FROM scratch\nCOPY a* lib /o/d/\n",
            {"a": "a", "lib/x": "x", ".dockerignore": "a\n"},
        ),
        {"a": "new"},
        "fresh",
    ),
    files(
        "b-copy-ignored",
        "an ignored folder's content",
        build(SRC, {"src/a": "a", ".dockerignore": "src/*\n"}),
        {"src/a": "new"},
        "fresh",
    ),
    *(
        Case(
            f"a named context has its own rules: {name}",
            "b-named",
            build(
                "FROM scratch\nCOPY --from=other . /o/d/\n",
                {".dockerignore": "a\n"},
                named={"other": {"a": "a", "b": "b", ".dockerignore": "b\n.dockerignore\n"}},
            ),
            build(
                "FROM scratch\nCOPY --from=other . /o/d/\n",
                {".dockerignore": "a\n"},
                named={
                    "other": {
                        "a": "a",
                        "b": "b",
                        ".dockerignore": "b\n.dockerignore\n",
                        name: "new",
                    }
                },
            ),
            expected,
        )
        for name, expected in (("a", "stale"), ("b", "fresh"))
    ),
)


def _archive(mtime: int) -> str:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("x")
        member.mtime, member.size = mtime, 1
        tar.addfile(member, io.BytesIO(b"x"))
    return made.getvalue().decode(errors="surrogateescape")


_CONTINUED = "FROM scratch\nCOPY src \\\n# a comment\n\n   /o/d/\nLABEL a=b\n"
_GLOB = build("FROM scratch\nCOPY src/*.c /o/d/\n", {"src/a.c": "a", "src/.b.c": "b", "src/x": "x"})
_ONE_STAGE = f"{SHELL}COPY src /o/d/\n{RERUN}"
_TWO_STAGES = (
    f"{SHELL.strip()} AS first\nCOPY src /o/d/\n{RERUN}FROM scratch\nCOPY --from=first /w /w/\n"
)
_UNREACHED = (
    f"{SHELL.strip()} AS other\nCOPY lib /l/\n{RERUN}FROM scratch AS last\nCOPY src /o/d/\n"
)
_MOUNT = f"{SHELL}RUN --mount=type=bind,source=src,target=/m "
_UUID = "cat /proc/sys/kernel/random/uuid > /w/r"
_TREES = {"src/a": "a", "lib/b": "b"}


def _expansion(word: str, path: str, default: str = "ARG V=src\n") -> Case:
    scenario = build(f"FROM scratch\n{default}COPY {word} /o/d/\n", {"src/a": "a", "lib/b": "b"})
    return files("c-expand", f"{word} reads {path}", scenario, {path: "new"}, "stale")


def _moved(row: str, name: str, dockerfile: str, variant: str, expected: Expected) -> Case:
    before = build(dockerfile, _TREES, moving="plain")
    return Case(name, row, before, replace(before, moving=variant), expected)


def _named_folder(name: str, dockerfile: str, path: str, expected: Expected) -> Case:
    one, two = (
        build(dockerfile, {"src/a": "a"}, named={"other": {"a": "1", "s/b": "2", path: content}})
        for content in ("old", "new")
    )
    return Case(name, "c-contexts", one, two, expected)


LANGUAGE: tuple[Case, ...] = (
    text("c-text", "comment", SRC, f"# c\n{SRC}# d\n", "fresh"),
    text("c-text", "case of instructions", SRC, "from scratch\ncopy src /o/d/\n", "fresh"),
    text("c-text", "blank lines", SRC, "\n\nFROM scratch\n\n\nCOPY src /o/d/\n", "fresh"),
    text("c-text", "JSON form", SRC, 'FROM scratch\nCOPY ["src", "/o/d/"]\n', "fresh"),
    text("c-text", "CRLF", SRC, SRC.replace("\n", "\r\n"), "fresh"),
    text("c-text", "byte order mark", SRC, f"\ufeff{SRC}", "fresh"),
    text("c-text", "no final newline", SRC, SRC.rstrip("\n"), "fresh"),
    text(
        "c-text",
        "renamed stage",
        _TWO_STAGES,
        _TWO_STAGES.replace("first", "second"),
        "fresh",
    ),
    Case(
        "renamed Dockerfile",
        "c-text",
        build("", {"src/a": "a", "One": SRC}, dockerfile="One"),
        build("", {"src/a": "a", "sub/Two": SRC}, dockerfile="sub/Two"),
        "fresh",
    ),
    text("c-text", "trailing blanks", SRC, "FROM scratch  \nCOPY src /o/d/ \t\n", "fresh"),
    text(
        "c-escape",
        "continuation, comment and blank line within",
        "FROM scratch\nCOPY src /o/d/\nLABEL a=b\n",
        _CONTINUED,
        "fresh",
    ),
    text(
        "c-escape",
        "escape directive",
        "FROM scratch\nCOPY src /o/d/\n",
        "# escape=`\nFROM scratch\nCOPY src `\n/o/d/\n",
        "fresh",
    ),
    text(
        "c-escape",
        "an escape directive after a comment is a comment",
        "FROM scratch\nCOPY src /o/d/\n",
        "# first\n# escape=`\nFROM scratch\nCOPY src \\\n/o/d/\n",
        "fresh",
    ),
    files("c-glob", "a file that matches", _GLOB, {"src/a.c": "new"}, "stale"),
    files("c-glob", "a star matches a dot file", _GLOB, {"src/.b.c": "new"}, "stale"),
    files("c-glob", "a file that does not match", _GLOB, {"src/x": "new"}, "fresh"),
    files("c-glob", "a new file that matches", _GLOB, {"src/n.c": "n"}, "stale"),
    files("c-glob", "a new file that does not match", _GLOB, {"src/n.d": "n"}, "fresh"),
    files(
        "c-glob",
        "two stars are one level: below",
        build("FROM scratch\nCOPY **/x /o/d/\n", {"s/x": "1", "s/t/x": "2", "x": "3"}),
        {"s/t/x": "new"},
        "fresh",
    ),
    files(
        "c-glob",
        "two stars are one level: at it",
        build("FROM scratch\nCOPY **/x /o/d/\n", {"s/x": "1", "s/t/x": "2", "x": "3"}),
        {"s/x": "new"},
        "stale",
    ),
    files(
        "c-glob",
        "a wildcard for an optional file",
        build("FROM scratch\nCOPY src lock[k] /o/d/\n", {"src/a": "a"}),
        {"lock": "new"},
        "fresh",
    ),
    files(
        "c-glob",
        "a wildcard's optional file appears",
        build("FROM scratch\nCOPY src loc[k] /o/d/\n", {"src/a": "a"}),
        {"lock": "new"},
        "stale",
    ),
    files(
        "c-glob",
        "a literal that is gone",
        _BASIC,
        {
            "src/a": None,
            "src/sub/b": None,
        },
        "refused",
    ),
    *(
        files(
            "c-clamp",
            f"{word} stays inside",
            build(f"FROM scratch\nCOPY {word} /o/d/\n", {"src/a": "a", "s/x": "x"}),
            {"src/a": "new"},
            "stale",
        )
        for word in ("../src", "/src", "s/../src", "../../src/a", "./src/")
    ),
    *(
        _expansion(word, path)
        for word, path in (
            ("$V", "src/a"),
            ("${V}/a", "src/a"),
            ("${N:-lib}", "lib/b"),
            ("${V:+lib}", "lib/b"),
            ('"$V"', "src/a"),
            ("sr${C}c", "src/a"),
        )
    ),
    text(
        "c-expand",
        "--from is not expanded",
        "FROM scratch AS a\nCOPY src /o/d/\nFROM scratch\nARG V=a\nCOPY --from=a /o /o/d/\n",
        "FROM scratch AS a\nCOPY src /o/d/\nFROM scratch\nARG V=a\nCOPY --from=$V /o /o/d/\n",
        "refused",
    ),
    *(
        files(
            "c-empty-variable",
            name,
            build(dockerfile, {"src/a": "a", "zzz": "z"}),
            {"zzz": "new"},
            "stale",
        )
        for name, dockerfile in (
            ("an undeclared variable is everything", "FROM scratch\nCOPY $X /o/d/\n"),
            ("an empty one too", "FROM scratch\nARG X\nCOPY $X /o/d/\n"),
            ("a global ARG that is not declared again", "ARG X=src\nFROM scratch\nCOPY $X /o/d/\n"),
        )
    ),
    files(
        "c-base-env",
        "ENV of the base image names the source",
        build("FROM unstale-oracle/env\nCOPY $SRC /o/d/\n", _TREES),
        {"src/a": "new"},
        "stale",
    ),
    files(
        "c-base-env",
        "ENV of the base image names another source",
        build("FROM unstale-oracle/env\nCOPY $SRC /o/d/\n", _TREES),
        {"lib/b": "new"},
        "fresh",
    ),
    files(
        "c-inherited",
        "ARG of a parent stage",
        build("FROM scratch AS p\nARG V=src\nFROM p\nCOPY $V /o/d/\n", _TREES),
        {"src/a": "new"},
        "stale",
    ),
    files(
        "c-inherited",
        "ENV of a parent stage",
        build("FROM scratch AS p\nENV V=src\nFROM p\nCOPY $V /o/d/\n", _TREES),
        {"lib/b": "new"},
        "fresh",
    ),
    files(
        "c-inherited",
        "TARGETARCH once declared",
        build(
            "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /o/d/\n",
            {"amd64/a": "a", "arm64/a": "a", "zzz": "z"},
        ),
        {"zzz": "new"},
        "fresh",
    ),
    files(
        "c-inherited",
        "TARGETARCH not declared is empty",
        build("FROM scratch\nCOPY $TARGETARCH /o/d/\n", {"amd64/a": "a", "zzz": "z"}),
        {"zzz": "new"},
        "stale",
    ),
    args("c-arg-unused", "an undeclared arg", _ONE_STAGE, {}, {"N": "1"}, "fresh"),
    args(
        "c-arg-unused",
        "declared with no RUN after it",
        f"{_ONE_STAGE}ARG N\n",
        {"N": "1"},
        {"N": "2"},
        "fresh",
    ),
    args(
        "c-arg-unused", "a proxy", _ONE_STAGE, {}, {"HTTP_PROXY": "http://p.example.com"}, "fresh"
    ),
    args(
        "c-arg-run",
        "declared before a RUN that does not use it",
        f"{SHELL}ARG N\n{RERUN}",
        {"N": "1"},
        {"N": "2"},
        "stale",
    ),
    args(
        "c-arg-run",
        "declared before a RUN, given for the first time",
        f"{SHELL}ARG N\n{RERUN}",
        {},
        {"N": "2"},
        "stale",
    ),
    args(
        "c-arg-run",
        "the default, given",
        f"{SHELL}ARG N=1\n{RERUN}",
        {},
        {"N": "1"},
        "fresh",
    ),
    args(
        "c-arg-run",
        "names the source",
        "FROM scratch\nARG N\nCOPY $N /o/d/\n",
        {"N": "src"},
        {"N": "lib"},
        "stale",
    ),
    args(
        "c-arg-run", "in an ENV", "FROM scratch\nARG N\nENV E=$N\n", {"N": "1"}, {"N": "2"}, "stale"
    ),
    args(
        "c-arg-epoch",
        "SOURCE_DATE_EPOCH keeps the layers",
        "FROM scratch\nCOPY src /o/d/\n",
        {},
        {"SOURCE_DATE_EPOCH": "1700000000"},
        "fresh",
    ),
    text("c-label", "LABEL", f"{SRC}LABEL a=1\n", f"{SRC}LABEL a=2\n", "stale"),
    *(
        text("c-label", one, f"{SRC}{one}\n", f"{SRC}{two}\n", "stale")
        for one, two in (
            ('CMD ["a"]', 'CMD ["b"]'),
            ("CMD a", 'CMD ["a"]'),
            ('ENTRYPOINT ["a"]', 'ENTRYPOINT ["b"]'),
            ("ENV A=1", "ENV A=2"),
            ("EXPOSE 80", "EXPOSE 81"),
            ("VOLUME /v", "VOLUME /u"),
            ("USER 1", "USER 2"),
            ("WORKDIR /a", "WORKDIR /b"),
            ("STOPSIGNAL 1", "STOPSIGNAL 2"),
            ("HEALTHCHECK CMD a", "HEALTHCHECK --retries=2 CMD a"),
            ('SHELL ["/bin/a"]', 'SHELL ["/bin/b"]'),
            ("ONBUILD COPY a /a", "ONBUILD COPY b /b"),
        )
    ),
    text("c-run", "RUN", _ONE_STAGE, _ONE_STAGE.replace("/w/r", "/w/s"), "stale"),
    text("c-run", "its spaces", _ONE_STAGE, _ONE_STAGE.replace("cat ", "cat  "), "stale"),
    *(
        text(
            "c-run",
            f"its folder, {path}",
            f"{SHELL}WORKDIR /o/one\n{RERUN}",
            f"{SHELL}WORKDIR {path}\n{RERUN}",
            "stale",
        )
        for path in ("/o//one", "/o/./one", "/o/one/", "/o/two/../one")
    ),
    text(
        "c-run",
        "a relative folder",
        f"{SHELL}WORKDIR /o\nWORKDIR one\n{RERUN}",
        f"{SHELL}WORKDIR /o\nWORKDIR ./one/\n{RERUN}",
        "fresh",
    ),
    text(
        "c-run",
        "an ENV before it",
        f"{SHELL}ENV A=1\n{RERUN}ENV A=\n",
        f"{SHELL}ENV A=2\n{RERUN}ENV A=\n",
        "stale",
    ),
    text(
        "c-unreached",
        "instructions of another stage",
        _UNREACHED,
        _UNREACHED.replace("/w/r", "/w/s"),
        "fresh",
        _TREES,
    ),
    files(
        "c-unreached",
        "files of another stage",
        build(_UNREACHED, _TREES),
        {"lib/b": "new"},
        "fresh",
    ),
    files(
        "c-unreached",
        "missing files of another stage",
        build(_UNREACHED, _TREES),
        {"lib/b": None},
        "fresh",
    ),
    text(
        "c-unreached",
        "a base of another stage that does not exist",
        _UNREACHED,
        _UNREACHED.replace("unstale-oracle/plain", "unstale-oracle/nowhere"),
        "fresh",
        _TREES,
    ),
    Case(
        "the target's case",
        "c-unreached",
        build(_TWO_STAGES, _TREES, target="first"),
        build(_TWO_STAGES, _TREES, target="FIRST"),
        "fresh",
    ),
    Case(
        "a target by number",
        "c-unreached",
        build(_TWO_STAGES, _TREES, target="first"),
        build(_TWO_STAGES, _TREES, target="0"),
        "refused",
    ),
    Case(
        "what follows the target",
        "c-unreached",
        build(_TWO_STAGES, _TREES, target="first"),
        build(f"{_TWO_STAGES}LABEL a=b\n", _TREES, target="first"),
        "fresh",
    ),
    Case(
        "another target",
        "c-unreached",
        build(_TWO_STAGES, _TREES),
        build(_TWO_STAGES, _TREES, target="first"),
        "stale",
    ),
    files(
        "c-from-stage",
        "files of a stage that is copied from",
        build(_TWO_STAGES, _TREES),
        {"src/a": "new"},
        "stale",
    ),
    files(
        "c-from-stage",
        "by number",
        build(_TWO_STAGES.replace("--from=first", "--from=0"), _TREES),
        {"src/a": "new"},
        "stale",
    ),
    text(
        "c-from-stage",
        "by number instead of by name",
        _TWO_STAGES,
        _TWO_STAGES.replace("--from=first", "--from=0"),
        "fresh",
    ),
    _moved(
        "c-tag-moved",
        "an image that is copied from has moved",
        "FROM scratch\nCOPY --from=@TAG@ /w /w/\n",
        "moved",
        "stale",
    ),
    _moved("c-tag-moved", "the base has moved", "FROM @TAG@\nCOPY src /o/d/\n", "moved", "stale"),
    _moved(
        "c-tag-moved",
        "the base of an unreached stage has moved",
        "FROM @TAG@ AS other\nCOPY lib /o/d/\nFROM scratch\nCOPY src /o/d/\n",
        "moved",
        "fresh",
    ),
    _moved(
        "c-relabelled",
        "the base was relabelled",
        "FROM @TAG@\nCOPY src /o/d/\n",
        "relabelled",
        "stale",
    ),
    _moved(
        "c-relabelled",
        "an image that is copied from was relabelled",
        "FROM scratch\nCOPY --from=@TAG@ /w /w/\n",
        "relabelled",
        "fresh",
    ),
    text("c-flags", "--chown", SRC, "FROM scratch\nCOPY --chown=1:2 src /o/d/\n", "stale"),
    text("c-flags", "--chmod", SRC, "FROM scratch\nCOPY --chmod=640 src /o/d/\n", "stale"),
    text(
        "c-flags",
        "another --chmod",
        "FROM scratch\nCOPY --chmod=640 src /o/d/\n",
        "FROM scratch\nCOPY --chmod=600 src /o/d/\n",
        "stale",
    ),
    text("c-flags", "--link", SRC, "FROM scratch\nCOPY --link src /o/d/\n", "fresh"),
    files(
        "c-bind", "a mounted folder", build(f"{_MOUNT}{_UUID}\n", _TREES), {"src/a": "new"}, "stale"
    ),
    files(
        "c-bind",
        "beside a mounted folder",
        build(f"{_MOUNT}{_UUID}\n", _TREES),
        {"lib/b": "new"},
        "fresh",
    ),
    files(
        "c-bind",
        "without a source the whole context",
        build(f"{SHELL}RUN --mount=target=/m {_UUID}\n", _TREES),
        {"lib/b": "new"},
        "stale",
    ),
    _named_folder(
        "a mounted named context",
        f"{SHELL}RUN --mount=from=other,target=/m {_UUID}\n",
        "s/b",
        "stale",
    ),
    _named_folder(
        "a part of a mounted named context",
        f"{SHELL}RUN --mount=from=other,source=s,target=/m {_UUID}\n",
        "a",
        "fresh",
    ),
    text(
        "c-cache-mount",
        "a cache mount's id",
        f"{SHELL}RUN --mount=type=cache,target=/c,id=a {_UUID}\n",
        f"{SHELL}RUN --mount=type=cache,target=/c,id=b {_UUID}\n",
        "fresh",
    ),
    text(
        "c-heredoc",
        "a RUN's body",
        f"{SHELL}RUN <<E\n{_UUID}\nE\n",
        f"{SHELL}RUN <<E\n{_UUID}\ntrue\nE\n",
        "stale",
    ),
    text(
        "c-heredoc",
        "a COPY's body",
        "FROM scratch\nCOPY <<E /f\nx\nE\n",
        "FROM scratch\nCOPY <<E /f\ny\nE\n",
        "stale",
    ),
    args(
        "c-heredoc",
        "a variable in a body",
        "FROM scratch\nARG N\nCOPY <<E /f\n$N\nE\n",
        {"N": "1"},
        {"N": "2"},
        "stale",
    ),
    args(
        "c-heredoc",
        "an escaped variable in a body",
        "FROM scratch\nARG N=1\nCOPY <<E /f\n\\$N\nE\n",
        {},
        {"N": "2"},
        "fresh",
    ),
    args(
        "c-heredoc",
        "a variable in a quoted body",
        'FROM scratch\nARG N\nCOPY <<"E" /f\n$N\nE\n',
        {"N": "1"},
        {"N": "2"},
        "fresh",
    ),
    files(
        "c-add-tar",
        "a member's mtime",
        build("FROM scratch\nADD x.tar /o/d/\n", {"x.tar": _archive(1)}),
        {"x.tar": _archive(2)},
        "stale",
    ),
    files(
        "c-onbuild",
        "the base image's trigger",
        build("FROM unstale-oracle/onbuild\nLABEL a=b\n", _TREES),
        {"src/a": "new"},
        "stale",
    ),
    files(
        "c-onbuild",
        "beside the base image's trigger",
        build("FROM unstale-oracle/onbuild\nLABEL a=b\n", _TREES),
        {"lib/b": "new"},
        "fresh",
    ),
    files(
        "c-onbuild",
        "a parent stage's trigger",
        build("FROM scratch AS p\nONBUILD COPY src /o/d/\nFROM p\nLABEL a=b\n", _TREES),
        {"src/a": "new"},
        "stale",
    ),
    files(
        "c-onbuild",
        "a trigger in the stage itself does not fire",
        build("FROM scratch\nCOPY lib /l/\nONBUILD COPY src /o/d/\n", _TREES),
        {"src/a": "new"},
        "fresh",
    ),
    _named_folder("a named context", "FROM scratch\nCOPY --from=other s /o/d/\n", "s/b", "stale"),
    _named_folder("beside what is read", "FROM scratch\nCOPY --from=other s /o/d/\n", "a", "fresh"),
    files(
        "c-contexts",
        "a named context replaces a stage, whose files do not matter then",
        build(
            "FROM scratch AS other\nCOPY src /s/\nFROM scratch\nCOPY --from=other s /o/d/\n",
            {"src/a": "a"},
            named={"other": {"s/b": "b"}},
        ),
        {"src/a": "new"},
        "fresh",
    ),
    files(
        "c-contexts",
        "an image context replaces a base image",
        build(
            "FROM base\nCOPY src /o/d/\n",
            {"src/a": "a", "lib/b": "b"},
            named_images={"base": "unstale-oracle/plain"},
        ),
        {"lib/b": "new"},
        "fresh",
    ),
    Case(
        "another image context",
        "c-contexts",
        build("FROM base\nCOPY src /o/d/\n", _TREES, named_images={"base": "unstale-oracle/plain"}),
        build("FROM base\nCOPY src /o/d/\n", _TREES, named_images={"base": "unstale-oracle/moved"}),
        "stale",
    ),
    Case(
        "inline",
        "c-inline",
        build("", _TREES, inline=SRC),
        build("", _TREES, inline=f"{SRC}LABEL a=b\n"),
        "stale",
    ),
    Case(
        "a comment inline",
        "c-inline",
        build("", _TREES, inline=SRC),
        build("", _TREES, inline=f"# c\n{SRC}"),
        "fresh",
    ),
    Case(
        "the same, inline",
        "c-inline",
        build(SRC, _TREES),
        build("", _TREES, inline=SRC),
        "fresh",
    ),
    Case(
        "the engine's own platform, named",
        "c-platform",
        build(SRC, _TREES),
        build(SRC, _TREES, platforms=("linux/amd64",)),
        "fresh",
    ),
    Case(
        "another platform",
        "c-platform",
        build(SRC, _TREES),
        build(SRC, _TREES, platforms=("linux/arm64",)),
        "stale",
    ),
    text(
        "c-new-flags",
        "COPY --exclude",
        SRC,
        "FROM scratch\nCOPY --exclude=a src /o/d/\n",
        "refused",
    ),
    text(
        "c-new-flags", "COPY --parents", SRC, "FROM scratch\nCOPY --parents src /o/d/\n", "refused"
    ),
    text("c-syntax", "a remote frontend", SRC, f"# syntax=docker/dockerfile:1\n{SRC}", "refused"),
)

CASES: tuple[Case, ...] = (*ATTRIBUTES, *IGNORING, *LANGUAGE)
