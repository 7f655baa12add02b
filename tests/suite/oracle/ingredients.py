"""What a random build is made of: each ingredient adds files and instructions.

It returns the mutations that are aimed at it, each with the row of the matrix
that it hits. Nobody says here what a mutation must do: the engine does.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from draft import Draft, Stage
from scenario import Node, fifo, file, folder, link, twin

Change = Callable[[Random, Draft], None]


@dataclass(frozen=True, slots=True)
class Aim:
    """A mutation; it may find nothing to do."""

    row: str
    name: str
    change: Change


Ingredient = Callable[[Random, Draft], list[Aim]]

UUID = "cat /proc/sys/kernel/random/uuid"


def stage_of(rng: Random, draft: Draft, *, shell: bool = False) -> Stage:
    """A stage for an instruction, mostly the last one."""
    fit = [stage for stage in draft.stages if stage.has_shell or not shell]
    if not fit:
        draft.last.base, draft.last.has_shell = "unstale-oracle/plain", True
        fit = [draft.last]
    return fit[-1] if rng.random() < 0.7 else rng.choice(fit)


def goal(draft: Draft) -> str:
    """A new folder below a new folder: a step that runs again shows by their times."""
    return f"/o{draft.next()}/d/"


def run(draft: Draft, stage: Stage, flags: str = "") -> int:
    """Add a RUN that shows in the layers each time it runs."""
    return draft.add(stage, "RUN", f"{flags}{UUID} > /w/r{draft.next()}")


def text_of(rng: Random) -> str:
    return rng.choice(("alpha", "beta", "gamma", "delta")) + str(rng.randrange(100))


def another(rng: Random, now: Any, options: Iterable[Any]) -> Any:
    """One of *options* that is not *now*; *now* if there is none."""
    others = [one for one in options if one != now]
    return rng.choice(others) if others else now


def edit(path: str) -> Change:
    """Other bytes, at times of the same size; the time is kept or not."""

    def change(rng: Random, draft: Draft) -> None:
        node = draft.tree.get(path)
        if node is None or node.kind != "file":
            return
        text = text_of(rng) if rng.random() < 0.4 else "".join(rng.choices("xyz", k=len(node.text)))
        draft.tree[path] = replace(node, text=text, mtime_s=rng.choice((node.mtime_s, 77)))

    return change


def put(path: str, *nodes: Node) -> Change:
    """Place one of *nodes* that is not there yet."""

    def change(rng: Random, draft: Draft) -> None:
        draft.tree[path] = another(rng, draft.tree.get(path), nodes)

    return change


def drop(path: str) -> Change:
    def change(_rng: Random, draft: Draft) -> None:
        draft.tree.pop(path, None)

    return change


def rewrite(key: int, *rests: str) -> Change:
    """Another text of an instruction."""

    def change(rng: Random, draft: Draft) -> None:
        line = draft.line(key)
        line.rest = another(rng, line.rest, rests)

    return change


def arg(name: str, *values: str | None) -> Change:
    """Another value of a build arg; None: not given."""

    def change(rng: Random, draft: Draft) -> None:
        value = another(rng, draft.args.get(name), values)
        draft.args.pop(name, None)
        if value is not None:
            draft.args[name] = value

    return change


def rules(*choices: list[str]) -> Change:
    """Other lines of the ignore file, for those that an ingredient put there."""
    every = {line for lines in choices for line in lines}

    def change(rng: Random, draft: Draft) -> None:
        now = draft.ignore or []
        kept = [line for line in now if line not in every]
        draft.ignore = [*kept, *another(rng, [line for line in now if line in every], choices)]

    return change


def home(draft: Draft) -> str:
    """A folder of the ingredient's own."""
    return f"i{draft.next()}"


# --- attributes of files


def copied_folder(rng: Random, draft: Draft) -> list[Aim]:
    top = home(draft)
    draft.tree |= {
        f"{top}/a": file(text_of(rng)),
        f"{top}/b": file(text_of(rng), rng.choice((0o644, 0o755))),
        f"{top}/sub": folder(),
        f"{top}/sub/c": file(text_of(rng)),
        f"{top}/l": link("a"),
        f"{top}-not/n": file(text_of(rng)),
    }
    draft.add(stage_of(rng, draft), "COPY", f"{top}{rng.choice(('', '/'))} {goal(draft)}")
    modes = (0o644, 0o664, 0o600, 0o755, 0o4755, 0o1644, 0o444, 0o2755)
    return [
        Aim("a-content", "edit", edit(rng.choice((f"{top}/a", f"{top}/b", f"{top}/sub/c")))),
        Aim("a-unread", "edit beside", edit(f"{top}-not/n")),
        Aim("a-mtime", "touch", _touch(f"{top}/a")),
        Aim("a-mode", "chmod", _chmod(f"{top}/b", modes)),
        Aim("a-folder-mode", "chmod folder", _chmod(f"{top}/sub", (0o755, 0o775, 0o700, 0o1777))),
        Aim("a-owner", "chown", _flip(f"{top}/b", "foreign")),
        Aim("a-xattr", "setxattr", _xattr(f"{top}/b")),
        Aim("a-xattr", "setxattr below", _xattr(f"{top}/sub/c")),
        Aim("a-empty-folder", "empty folder", put(f"{top}/empty{rng.randrange(3)}", folder())),
        Aim("a-rename", "rename", _rename(f"{top}/a", f"{top}/z")),
        Aim("a-link", "retarget", put(f"{top}/l", link("b"), link("./a"), link("sub"))),
        Aim("a-link", "file or link", put(f"{top}/l", file("a"), link("a"))),
        Aim("a-fifo", "fifo", put(f"{top}/pipe", fifo(), file("no pipe"))),
        Aim("a-fifo", "a fifo below", put(f"{top}/sub/pipe", fifo(), folder())),
        Aim("a-hardlink", "hard link", _twin(f"{top}/a", f"{top}/twin")),
        Aim("a-hardlink", "another hard link", _twin(f"{top}/b", f"{top}/twin2")),
        Aim("a-empty-folder", "empty folder", put(f"{top}/sub/empty", folder(), folder(0o700))),
    ]


def _touch(path: str) -> Change:
    def change(rng: Random, draft: Draft) -> None:
        if path in draft.tree and draft.tree[path].kind == "file":
            draft.tree[path] = replace(draft.tree[path], mtime_s=rng.randrange(1, 10**6))

    return change


def _chmod(path: str, modes: tuple[int, ...]) -> Change:
    def change(rng: Random, draft: Draft) -> None:
        node = draft.tree.get(path)
        if node and node.kind in ("file", "folder"):
            draft.tree[path] = replace(node, mode=another(rng, node.mode, modes))

    return change


def _flip(path: str, name: str) -> Change:
    def change(_rng: Random, draft: Draft) -> None:
        node = draft.tree.get(path)
        if node is None or node.kind != "file":
            return
        draft.tree[path] = replace(node, **{name: not getattr(node, name)})

    return change


def _xattr(path: str) -> Change:
    def change(_rng: Random, draft: Draft) -> None:
        node = draft.tree.get(path)
        if node is None or node.kind != "file":
            return
        draft.tree[path] = replace(node, xattr="" if node.xattr else "1")

    return change


def _rename(one: str, two: str) -> Change:
    def change(_rng: Random, draft: Draft) -> None:
        here, there = (one, two) if one in draft.tree else (two, one)
        if here in draft.tree and not any(n.text == here for n in draft.tree.values()):
            draft.tree[there] = draft.tree.pop(here)

    return change


def _twin(path: str, other: str) -> Change:
    """A copy becomes a hard link, or the reverse."""

    def change(_rng: Random, draft: Draft) -> None:
        node = draft.tree.get(path)
        if node is None or node.kind != "file":
            return
        was = draft.tree.get(other)
        draft.tree[other] = node if was is None or was.kind == "twin" else twin(path)

    return change


def copied_file(rng: Random, draft: Draft) -> list[Aim]:
    top = home(draft)
    draft.tree |= {f"{top}/a": file(text_of(rng)), f"{top}/b": file(text_of(rng))}
    draft.add(stage_of(rng, draft), "COPY", f"{top}/a {goal(draft)}")
    return [
        Aim("a-content", "edit", edit(f"{top}/a")),
        Aim("a-unread", "edit beside", edit(f"{top}/b")),
        Aim("a-mtime", "touch", _touch(f"{top}/a")),
        Aim("a-root-mode", "chmod of its folder", _folder_mode(top)),
        Aim("a-mode", "chmod", _chmod(f"{top}/a", (0o644, 0o755, 0o600))),
    ]


def _folder_mode(path: str) -> Change:
    return put(path, folder(0o755), folder(0o700), folder(0o775))


def chmod_flag(rng: Random, draft: Draft) -> list[Aim]:
    top, to = home(draft), goal(draft)
    draft.tree |= {f"{top}/a": file(text_of(rng))}
    choices = tuple(f"--chmod={mode} {top} {to}" for mode in ("600", "644", "0755"))
    key = draft.add(stage_of(rng, draft), "COPY", choices[0])
    return [
        Aim("a-mode-chmod", "chmod of the source", _chmod(f"{top}/a", (0o644, 0o755, 0o600))),
        Aim("c-flags", "other --chmod", rewrite(key, *choices)),
        Aim("a-content", "edit", edit(f"{top}/a")),
    ]


def chown_flag(rng: Random, draft: Draft) -> list[Aim]:
    top, to = home(draft), goal(draft)
    draft.tree |= {f"{top}/a": file(text_of(rng))}
    choices = tuple(f"{flag}{top} {to}" for flag in ("", "--chown=1:2 ", "--chown=3 "))
    key = draft.add(stage_of(rng, draft), "COPY", rng.choice(choices))
    return [
        Aim("c-flags", "other --chown", rewrite(key, *choices)),
        Aim("a-owner", "chown", _flip(f"{top}/a", "foreign")),
        Aim("a-content", "edit", edit(f"{top}/a")),
    ]


def link_in_tree(rng: Random, draft: Draft) -> list[Aim]:
    top = home(draft)
    draft.tree |= {
        f"{top}/t/l": link(rng.choice(("../out", f"/{top}/out", "../../../outward"))),
        f"{top}/t/d": link("../gone"),
        f"{top}/out": file(text_of(rng)),
        f"{top}/t/f": file(text_of(rng)),
    }
    draft.add(stage_of(rng, draft), "COPY", f"{top}/t {goal(draft)}")
    return [
        Aim("a-link-in-tree", "edit the target", edit(f"{top}/out")),
        Aim("a-dangling", "what it would name appears", put(f"{top}/gone", file("1"), file("2"))),
        Aim("a-dangling", "another name", put(f"{top}/t/d", link("../g"), link("../go"))),
        Aim("a-link", "another target", put(f"{top}/t/l", link("../out"), link("f"), link("x"))),
    ]


def copied_link(rng: Random, draft: Draft) -> list[Aim]:
    top = home(draft)
    absolute = rng.random() < 0.5
    draft.tree |= {
        f"{top}/file": link(f"/{top}/r/a" if absolute else "r/a"),
        f"{top}/dir": link(f"/{top}/r" if absolute else "r"),
        f"{top}/two": link("dir"),
        f"{top}/r/a": file(text_of(rng)),
        f"{top}/r/b": file(text_of(rng)),
    }
    word = rng.choice(
        ("file", "dir/a", "dir", "two", "two/a", "r/../file", "dir/", "fil[e]", "d*r/a")
    )
    draft.add(stage_of(rng, draft), "COPY", f"{top}/{word} {goal(draft)}")
    outward = rng.choice(("../../../nowhere", "nope"))
    return [
        Aim("a-link-copied", "edit its target", edit(f"{top}/r/a")),
        Aim("a-link-copied", "edit beside its target", edit(f"{top}/r/b")),
        Aim("a-link-copied", "add beside its target", put(f"{top}/r/n", file("1"), file("2"))),
        Aim("a-link-copied", "chmod its target", _chmod(f"{top}/r/a", (0o644, 0o600, 0o755))),
        Aim(
            "a-link-outside", "leads nowhere", put(f"{top}/{word.partition('/')[0]}", link(outward))
        ),
        Aim("a-link-outside", "leads out", put(f"{top}/dir", link("../../../nowhere"))),
        Aim("a-link-copied", "retarget", put(f"{top}/file", link("r/a"), link("r/b"))),
    ]


_ODD = (
    "sp ace",
    "new\nline",
    "#hash",
    "b\udcff\udcfe",
    "uni\u00e9",
    "{x}",
    "q'uote",
    'd"q',
    "-dash",
)


def odd_names(rng: Random, draft: Draft) -> list[Aim]:
    top = home(draft)
    names = rng.sample(_ODD, 4)
    draft.tree |= {f"{top}/{name}": file(text_of(rng)) for name in names}
    draft.add(stage_of(rng, draft), "COPY", f"{top} {goal(draft)}")
    return [
        Aim("a-names", "edit", edit(f"{top}/{names[0]}")),
        Aim("a-names", "rename", _rename(f"{top}/{names[1]}", f"{top}/{names[1]}2")),
        Aim("a-names", "a new one", put(f"{top}/x\udcfa{rng.randrange(9)}", file("1"), file("2"))),
    ]


def git_folder(rng: Random, draft: Draft) -> list[Aim]:
    draft.tree |= {".git/index": file("1"), ".git/HEAD": file("ref")}
    if rng.random() < 0.5:
        draft.ignore = [*(draft.ignore or []), ".git"]
    return [Aim("a-git", "git status", put(".git/index", file("1"), file("2"), file("3")))]


# --- the ignore file


def _ignoring(rng: Random, draft: Draft, entries: list[str], lines: list[str]) -> str:
    """Copy a folder of the ingredient's own, some of which the ignore file leaves out."""
    top = home(draft)
    draft.tree |= {f"{top}/{entry}": file(text_of(rng)) for entry in entries}
    draft.ignore = [*(draft.ignore or []), *(line.replace("@", top) for line in lines)]
    draft.add(stage_of(rng, draft), "COPY", f"{top} {goal(draft)}")
    return top


def ignored(row: str, entries: list[str], *lines: list[str]) -> Ingredient:
    """An ingredient about rules: the folder is ``@``."""

    def add(rng: Random, draft: Draft) -> list[Aim]:
        top = _ignoring(rng, draft, entries, rng.choice(lines))
        given = [[line.replace("@", top) for line in one] for one in lines]
        aims = [Aim(row, f"edit {entry}", edit(f"{top}/{entry}")) for entry in entries]
        if len(lines) > 1:
            aims.append(Aim(row, "other rules", rules(*given)))
        aims.append(Aim(row, "new file", put(f"{top}/n.md", file("1"), file("2"))))
        return aims

    return add


IGNORING = (
    ignored(
        "b-order",
        ["a.md", "b.md", "s/a.md"],
        ["@/*.md", "!@/a.md"],
        ["!@/a.md", "@/*.md"],
        ["@", "!@/s/a.md"],
        ["@/s", "!@/s/*"],
    ),
    ignored(
        "b-starstar",
        ["a.md", "s/a.md", "s/t/a.md", "s/t/b"],
        ["@/**/a.md"],
        ["@/*/a.md"],
        ["**/t"],
        ["@/s/**"],
        ["@/s**/b"],
        ["**/a.md", "!@/s/**/a.md"],
    ),
    ignored("b-slashes", ["a", "s/b"], ["/@/s/"], ["@/./s//"], ["@/x/../a/"], ["./@/a"]),
    ignored("b-dot", ["a", "s/b"], ["."], ["../@"], ["/"]),
    ignored("b-comment", ["a", "#a"], ["#@/a"], ["@/#a"], [" #@/a"], ["# c", "@/a"]),
    ignored("b-space", ["a", "b"], ["  @/a  "], ["@", "! @/a"], ["\t@/b\t"], ["@/a\u00a0"]),
    ignored("b-class", ["a", "b", "c"], ["@/[ab]"], ["@/[^a]"], ["@/[a-b]"], ["@/[!a]"], ["@/\\a"]),
    ignored("b-regexp", ["a^b", "a", "1", "d"], ["@/a^*"], ["@/a?b"], ["@/+"], ["@/(a)"], ["@/$a"]),
    ignored("b-case", ["a", "A2"], ["@/A"], ["@/a2"], ["@/a"]),
)


def ignore_bytes(rng: Random, draft: Draft) -> list[Aim]:
    """The ignore file with a byte order mark and carriage returns."""
    if draft.ignore_prefix or draft.ignore_end != "\n":
        return []
    top = _ignoring(rng, draft, ["a", "b"], ["@/a"])
    draft.ignore_prefix = rng.choice(("", "\ufeff"))
    draft.ignore_end = "\r\n"
    draft.ignore = [f"{top}/b", *(draft.ignore or [])]
    return [
        Aim("b-bom-crlf", "edit", edit(f"{top}/a")),
        Aim("b-bom-crlf", "edit the first rule's", edit(f"{top}/b")),
        Aim("b-bom-crlf", "other ends", _ends),
    ]


def _ends(_rng: Random, draft: Draft) -> None:
    draft.ignore_end = "\n" if draft.ignore_end == "\r\n" else "\r\n"


def own_ignore_file(rng: Random, draft: Draft) -> list[Aim]:
    top = home(draft)
    draft.tree |= {f"{top}/{name}": file(text_of(rng)) for name in "abc"}
    draft.own_ignore = rng.choice(([], [f"{top}/a"], ["*", f"!{top}"]))
    draft.inline = draft.inline or rng.random() < 0.2
    draft.ignore = [*(draft.ignore or []), f"{top}/b"]
    draft.add(stage_of(rng, draft), "COPY", f"{top}* {goal(draft)}")
    row = "b-own-inline" if draft.inline else "b-own-file"
    return [Aim(row, f"edit {name}", edit(f"{top}/{name}")) for name in "ab"] + [
        Aim(row, "other rules", _own(f"{top}/c", f"{top}/a")),
        Aim(row, "no effect", _own("never", "nothing")),
    ]


def _own(*lines: str) -> Change:
    def change(rng: Random, draft: Draft) -> None:
        now = draft.own_ignore or []
        line = rng.choice(lines)
        draft.own_ignore = [x for x in now if x != line] if line in now else [*now, line]

    return change


def ignored_glob(rng: Random, draft: Draft) -> list[Aim]:
    """A glob of which nothing is left, and a folder without its content."""
    top = home(draft)
    draft.tree |= {
        f"{top}/x1": file(text_of(rng)),
        f"{top}/y": file(text_of(rng)),
        f"{top}/s/z": file(text_of(rng)),
    }
    draft.ignore = [*(draft.ignore or []), f"{top}/x*", f"{top}/s/*"]
    draft.add(stage_of(rng, draft), "COPY", f"{top}/x* {top}/y {top}/s {goal(draft)}")
    return [
        Aim("b-copy-ignored", f"edit {name}", edit(f"{top}/{name}")) for name in ("x1", "y", "s/z")
    ] + [
        Aim("b-copy-ignored", "another ignored one", put(f"{top}/x2", file("1"), file("2"))),
        Aim("b-copy-ignored", "the literal is ignored", rules([], [f"{top}/y"])),
    ]


def whole_context(rng: Random, draft: Draft) -> list[Aim]:
    """Everything is copied, less what is ignored; the ignore file and Dockerfile may be in it."""
    draft.tree |= {"kept": file(text_of(rng)), "left": file(text_of(rng))}
    lines = rng.choice((["left"], ["left", "*ocker*"], ["*", "!kept"], ["left", ".dockerignore"]))
    draft.ignore = [*(draft.ignore or []), *lines]
    draft.add(stage_of(rng, draft), "COPY", f". {goal(draft)}")
    return [
        Aim("a-content", "edit", edit("kept")),
        Aim("a-unread", "edit an ignored one", edit("left")),
        Aim("a-root-mode", "chmod the root", _root_mode),
        Aim("b-self", "a comment in the ignore file", _comment_rule),
        Aim("b-self", "a rule without effect", rules([], ["no-such-path"])),
        Aim("b-ignored-dockerfile", "other look", other_look),
        Aim("b-ignored-dockerfile", "a stage renamed", rename_stage),
    ]


def _root_mode(rng: Random, draft: Draft) -> None:
    draft.root_mode = another(rng, draft.root_mode, (0o755, 0o700, 0o775))


def _comment_rule(rng: Random, draft: Draft) -> None:
    draft.ignore = [*(draft.ignore or []), f"# {rng.random()}"]


def other_look(rng: Random, draft: Draft) -> None:
    draft.look = rng.randrange(1, 10**6)


def linked_ignore_file(rng: Random, draft: Draft) -> list[Aim]:
    """The ignore file is a link: within the context it is followed."""
    if draft.ignore is not None:
        return []
    top = home(draft)
    draft.tree |= {
        f"{top}/a": file(text_of(rng)),
        f"{top}/b": file(text_of(rng)),
        f"{top}-rules": file(f"{top}/b\n"),
        ".dockerignore": link(rng.choice((f"{top}-rules", f"/{top}-rules"))),
    }
    draft.add(stage_of(rng, draft), "COPY", f"{top} {goal(draft)}")
    return [
        Aim("b-symlink", "edit", edit(f"{top}/a")),
        Aim("b-symlink", "edit an ignored one", edit(f"{top}/b")),
        Aim(
            "b-symlink", "other rules", put(f"{top}-rules", file(f"{top}/a\n"), file(f"{top}/b\n"))
        ),
    ]


# --- the Dockerfile


def text_only(rng: Random, draft: Draft) -> list[Aim]:
    draft.look = rng.choice((0, rng.randrange(10**6)))
    return [Aim("c-text", "other look", other_look), Aim("c-text", "stage renamed", rename_stage)]


def rename_stage(rng: Random, draft: Draft) -> None:
    named = [stage for stage in draft.stages if stage.name]
    if not named:
        return
    stage, new = rng.choice(named), f"n{draft.next()}"
    old, stage.name = stage.name, new
    for other in draft.stages:
        other.base = new if other.base == old else other.base
    for _, line in draft.lines():
        for option in ("--from=", "from="):
            line.rest = line.rest.replace(f"{option}{old} ", f"{option}{new} ")
            line.rest = line.rest.replace(f"{option}{old},", f"{option}{new},")
    if draft.target == old:
        draft.target = new
    if old in draft.named:
        draft.named[new] = draft.named.pop(old)


def escape_character(rng: Random, draft: Draft) -> list[Aim]:
    """Instructions over several lines, by the one escape character or the other."""
    top = home(draft)
    draft.tree[f"{top}/a"] = file(text_of(rng))
    draft.look = rng.randrange(1, 10**6)
    draft.escape = rng.choice("\\`")
    key = draft.add(stage_of(rng, draft), "COPY", f"{top} {goal(draft)}")
    # No blank at first: `look` may break the line at one, and the character may be the other.
    quoted = draft.add(draft.last, "LABEL", "e=ab")

    def change(_rng: Random, draft: Draft) -> None:
        draft.escape = "`" if draft.escape == "\\" else "\\"

    return [
        Aim("c-escape", "the other character", change),
        Aim("c-escape", "other look", other_look),
        Aim("c-escape", "a blank escaped", rewrite(quoted, r"e=a\ b", "e=a` b", "e=ab")),
        Aim("c-text", "a second source", rewrite(key, f"{top} {top}/a /q/r/", f"{top}/a /q/r/")),
    ]


def other_platform(rng: Random, draft: Draft) -> list[Aim]:
    """Without a RUN, which another platform's machine would have to execute."""
    if any(stage.has_shell for stage in draft.stages):
        return []
    top, name = home(draft), rng.choice(("TARGETARCH", "TARGETPLATFORM", "BUILDARCH"))
    draft.tree |= {f"{top}/{n}/f": file(text_of(rng)) for n in ("amd64", "linux/amd64")}
    draft.tree |= {f"{top}/{n}/f": file(text_of(rng)) for n in ("arm64", "linux/arm64")}
    stage = draft.last
    draft.add(stage, "ARG", name)
    draft.add(stage, "COPY", f"{top}/${name} {goal(draft)}")

    def change(rng: Random, draft: Draft) -> None:
        if not any(stage.has_shell for stage in draft.stages):
            draft.platforms = another(
                rng, draft.platforms, ((), ("linux/arm64",), ("linux/amd64",))
            )

    return [
        Aim("c-platform", "another platform", change),
        Aim("c-platform", "edit", edit(f"{top}/arm64/f")),
        Aim("c-platform", "edit the other", edit(f"{top}/linux/amd64/f")),
    ]


def json_form(rng: Random, draft: Draft) -> list[Aim]:
    top, to = home(draft), goal(draft)
    draft.tree |= {f"{top}/a": file(text_of(rng)), f"{top}/b": file(text_of(rng))}
    forms = (f"{top}/a {to}", f'["{top}/a", "{to}"]', f'["{top}/a","{to}"]')
    key = draft.add(stage_of(rng, draft), "COPY", rng.choice(forms))
    return [
        Aim("c-text", "other form", rewrite(key, *forms)),
        Aim("a-content", "edit", edit(f"{top}/a")),
    ]


def glob(rng: Random, draft: Draft) -> list[Aim]:
    top = home(draft)
    names = ("a.c", "b.c", ".h.c", "x.d", "s/a.c", "s/t/a.c", "[q].c")
    draft.tree |= {f"{top}/{name}": file(text_of(rng)) for name in names}
    word = rng.choice(
        (
            "*.c",
            "?.c",
            "[ab].c",
            "*",
            "**/a.c",
            "s/*",
            "s*",
            "*/*",
            ".*",
            "[^a].c",
            "\\[q].c",
            "a.[c]",
        )
    )
    draft.add(stage_of(rng, draft), "COPY", f"{top}/{word} {goal(draft)}")
    return [
        Aim("c-glob", "edit", edit(f"{top}/{rng.choice(names)}")),
        Aim("c-glob", "edit another", edit(f"{top}/{rng.choice(names)}")),
        Aim("c-glob", "a new match", put(f"{top}/c.c", file("1"), file("2"))),
        Aim("c-glob", "a new folder", put(f"{top}/s/u", folder(), folder(0o700))),
        Aim("c-glob", "one less", drop(f"{top}/b.c")),
        Aim("a-rename", "rename below a glob", _rename(f"{top}/a.c", f"{top}/e.c")),
    ]


def optional_file(rng: Random, draft: Draft) -> list[Aim]:
    name = f"lock{draft.next()}"
    draft.tree[f"{name}-a"] = file(text_of(rng))
    draft.add(stage_of(rng, draft), "COPY", f"{name}-a {name}.loc[k] {goal(draft)}")
    return [
        Aim("c-glob", "the optional file", put(f"{name}.lock", file("1"), file("2"))),
        Aim("c-glob", "no match", put(f"{name}.locks", file("1"), file("2"))),
    ]


def clamped(rng: Random, draft: Draft) -> list[Aim]:
    top = home(draft)
    draft.tree |= {f"{top}/a": file(text_of(rng)), f"{top}-s/b": file(text_of(rng))}
    word = rng.choice((f"../{top}", f"/{top}", f"{top}-s/../{top}", f"../../{top}/a", f"./{top}/."))
    draft.add(stage_of(rng, draft), rng.choice(("COPY", "ADD")), f"{word} {goal(draft)}")
    return [
        Aim("c-clamp", "edit", edit(f"{top}/a")),
        Aim("c-clamp", "edit beside", edit(f"{top}-s/b")),
    ]


_WORDS = (
    "$V", "${V}", "${N:-@1}", "${V:+@2}", "${V-@2}", "${N+@2}@1", '"$V"', "'@2'", "${V:-@2}",
    "@0${C}1", "\\@1", "${N:-${V}}", "./$V/.", "$V/../@2", "${E:-@2}", "${E-@1}",
)  # fmt: skip


def expansion(rng: Random, draft: Draft) -> list[Aim]:
    """A source that is named by variables: ``@1`` or ``@2``."""
    top, stage, to = home(draft), stage_of(rng, draft), goal(draft)
    one, two = f"{top}1", f"{top}2"
    draft.tree |= {f"{path}/f": file(text_of(rng)) for path in (one, two)}
    number = draft.next()
    word = rng.choice(_WORDS).replace("@0", top).replace("@1", one).replace("@2", two)
    for name in "VNCE":
        word = word.replace(f"${{{name}", f"${{{name}{number}").replace(
            f"${name}", f"${name}{number}"
        )
    if "${C" not in word:
        draft.add(stage, rng.choice(("ARG", "ENV")), f"V{number}={one}")
    draft.add(stage, "ENV", f"E{number}=")
    draft.add(stage, "COPY", f"{word} {to}")
    return [
        Aim("c-expand", "edit the one", edit(f"{one}/f")),
        Aim("c-expand", "edit the other", edit(f"{two}/f")),
        Aim("c-expand", "its arg", arg(f"V{number}", one, two, None)),
    ]


def named_by_arg(rng: Random, draft: Draft) -> list[Aim]:
    top, stage = home(draft), stage_of(rng, draft)
    one, two = f"{top}1", f"{top}2"
    draft.tree |= {f"{path}/f": file(text_of(rng)) for path in (one, two)}
    name = f"A{draft.next()}"
    if rng.random() < 0.5:
        draft.before_stages.append(f"{name}={one}")
        draft.add(stage, "ARG", name)
    else:
        draft.add(stage, "ARG", f"{name}={one}")
    draft.add(stage, "COPY", f"${name} {goal(draft)}")
    return [
        Aim("c-arg-run", "another source", arg(name, one, two, None)),
        Aim("c-expand", "edit the one", edit(f"{one}/f")),
        Aim("c-expand", "edit the other", edit(f"{two}/f")),
    ]


def empty_variable(rng: Random, draft: Draft) -> list[Aim]:
    """It stands for the whole context."""
    name, stage = f"X{draft.next()}", stage_of(rng, draft)
    if rng.random() < 0.5:
        draft.before_stages.append(f"{name}=src")
    elif rng.random() < 0.5:
        draft.add(stage, "ARG", name)
    draft.tree[f"for-{name}"] = file("1")
    draft.add(stage, "COPY", f"${name} {goal(draft)}")
    return [
        Aim("c-empty-variable", "edit", edit(f"for-{name}")),
        Aim("c-empty-variable", "add", put(f"new-{name}", file("1"), file("2"))),
        Aim("c-empty-variable", "edit another", edit("src/a")),
    ]


def base_env(rng: Random, draft: Draft) -> list[Aim]:
    """ENV of the base image names the source."""
    stage = draft.stages[0]
    if stage.base == "scratch" or draft.moving:
        return []
    stage.base, draft.moving = "@TAG@", "env"
    word = rng.choice(("$SRC", "${SRC:-lib}", "${NOT_THERE:-$SRC}"))
    draft.add(stage, "COPY", f"{word} {goal(draft)}")
    return [
        Aim("c-base-env", "edit the one", edit("src/a")),
        Aim("c-base-env", "edit the other", edit("lib/b")),
        Aim("c-tag-moved", "another ENV", _move("env", "env2")),
    ]


def _move(*variants: str) -> Change:
    def change(rng: Random, draft: Draft) -> None:
        draft.moving = another(rng, draft.moving, variants)

    return change


def inherited(rng: Random, draft: Draft) -> list[Aim]:
    """A variable of a parent stage; a stage's parent is its base."""
    children = [s for s in draft.stages if any(s.base == o.name for o in draft.stages if o.name)]
    if not children:
        return []
    child = rng.choice(children)
    parent = next(stage for stage in draft.stages if stage.name == child.base)
    top, name = home(draft), f"P{draft.next()}"
    draft.tree |= {f"{top}{n}/f": file(text_of(rng)) for n in (1, 2)}
    draft.add(parent, rng.choice(("ARG", "ENV")), f"{name}={top}1")
    draft.add(child, "COPY", f"${{{name}:-{top}2}} {goal(draft)}")
    return [
        Aim("c-inherited", "edit the one", edit(f"{top}1/f")),
        Aim("c-inherited", "edit the other", edit(f"{top}2/f")),
        Aim("c-inherited", "its arg", arg(name, f"{top}1", f"{top}2", None)),
    ]


def platform_arg(rng: Random, draft: Draft) -> list[Aim]:
    stage, top = stage_of(rng, draft), home(draft)
    name = rng.choice(("TARGETARCH", "TARGETOS", "TARGETPLATFORM"))
    draft.tree |= {
        f"{top}/{n}/f": file(text_of(rng)) for n in ("amd64", "linux", "linux/amd64", "arm64")
    }
    if rng.random() < 0.8:
        draft.add(stage, "ARG", name)
    draft.add(stage, "COPY", f"{top}/${name} {goal(draft)}")
    return [
        Aim("c-inherited", f"edit {n}", edit(f"{top}/{n}/f"))
        for n in ("amd64", "linux", "linux/amd64", "arm64")
    ]


def run_arg(rng: Random, draft: Draft) -> list[Aim]:
    stage = stage_of(rng, draft, shell=True)
    name, other = f"R{draft.next()}", f"L{draft.next()}"
    draft.add(stage, "ARG", rng.choice((name, f"{name}=1")))
    key = run(draft, stage)
    draft.add(stage, "ARG", other)  # perhaps before a RUN of another ingredient
    return [
        Aim("c-arg-run", "a declared arg", arg(name, "1", "2", "", None)),
        Aim("c-arg-run", "one that is declared late", arg(other, "1", "2", None)),
        Aim("c-arg-unused", "an undeclared one", arg(f"U{name}", "1", "2", None)),
        Aim("c-arg-unused", "a proxy", arg("HTTP_PROXY", "http://p.example.com", None)),
        Aim("c-arg-epoch", "SOURCE_DATE_EPOCH", arg("SOURCE_DATE_EPOCH", "1700000000", None)),
        Aim("c-arg-epoch", "another epoch", arg("SOURCE_DATE_EPOCH", "1700000001", None)),
        Aim("c-run", "another command", rewrite(key, *_runs(draft))),
    ]


def _runs(draft: Draft) -> tuple[str, ...]:
    out = f"/w/r{draft.next()}"
    return (
        f"{UUID} > {out}",
        f"{UUID}  > {out}",
        f'["sh", "-c", "{UUID} > {out}"]',
        f"true; {UUID} > {out}",
    )


def run_command(rng: Random, draft: Draft) -> list[Aim]:
    stage = stage_of(rng, draft, shell=True)
    env = draft.add(stage, "ENV", f"E{draft.next()}=1")
    shell = draft.add(stage, "SHELL", '["/bin/sh", "-c"]')
    work = draft.add(stage, "WORKDIR", "/o/one")
    forms = _runs(draft)
    key = draft.add(stage, "RUN", rng.choice(forms))
    name = draft.line(env).rest.partition("=")[0]
    return [
        Aim("c-run", "another command", rewrite(key, *forms)),
        Aim("c-run", "an ENV before it", rewrite(env, f"{name}=1", f"{name}=2", f"{name} 1")),
        Aim("c-run", "its shell", rewrite(shell, '["/bin/sh", "-c"]', '["/bin/sh", "-ec"]')),
        Aim("c-run", "its folder", rewrite(work, "/o/one", "/o/two", "/o//one/")),
    ]


_CONFIG = (
    ("LABEL", "a=1", "a=2", "a=1 b=2", 'a="1"'),
    ("CMD", '["a"]', "a", '["b"]'),
    ("ENTRYPOINT", '["a"]', "a", '["a", "b"]'),
    ("ENV", "K=1", "K=2", "K 1", 'K="1"', "K='1' L=2"),
    ("EXPOSE", "80", "81", "80/tcp", "80 81", "80/udp"),
    ("VOLUME", "/v", '["/v"]', "/v /u"),
    ("STOPSIGNAL", "SIGINT", "9", "SIGTERM"),
    ("HEALTHCHECK", "CMD a", "--retries=2 CMD a", "NONE", "--interval=5s CMD a", 'CMD ["a"]'),
    ("MAINTAINER", "a", "b"),
    ("WORKDIR", "/o", "/o/p", "/o/p/.."),
    ("ONBUILD", "COPY a /a", "COPY b /b", "RUN true"),
)


def configuration(rng: Random, draft: Draft) -> list[Aim]:
    """What only the image's Config holds."""
    word, *rests = rng.choice(_CONFIG)
    # Not a stage that others start from: a trigger would fire there.
    key = draft.add(draft.last, word, rng.choice(rests))
    return [Aim("c-label", f"other {word}", rewrite(key, *rests))]


def quoted_label(rng: Random, draft: Draft) -> list[Aim]:
    """Variables in what only the Config holds."""
    name, stage = f"Q{draft.next()}", draft.last
    draft.add(stage, "ARG", f"{name}=1")
    rests = (f"{name}=$${name}".replace("$$", "$"), f"{name}='${name}'", f'{name}="${{{name}}}x"')
    key = draft.add(stage, rng.choice(("LABEL", "ENV")), rng.choice(rests))
    return [
        Aim("c-arg-run", "an arg in a value", arg(name, "1", "2", None)),
        Aim("c-label", "other quotes", rewrite(key, *rests)),
    ]


def unreached(rng: Random, draft: Draft) -> list[Aim]:
    """A stage that the target does not need."""
    top, name = home(draft), f"u{draft.next()}"
    draft.tree |= {f"{top}/a": file(text_of(rng)), f"{top}/b": file(text_of(rng))}
    base = rng.choice(("scratch", "unstale-oracle/plain", "unstale-oracle/nowhere"))
    stage = Stage(name, base)
    keys = [draft.add(stage, "COPY", f"{top} {goal(draft)}"), draft.add(stage, "LABEL", "a=1")]
    draft.stages.insert(rng.randrange(len(draft.stages)), stage)
    _renumber(draft, draft.stages.index(stage))
    return [
        Aim("c-unreached", "edit", edit(f"{top}/a")),
        Aim("c-unreached", "remove", drop(f"{top}/b")),
        Aim("c-unreached", "its source", rewrite(keys[0], "no-such-file /x/", f"{top} /y/")),
        Aim("c-unreached", "its label", rewrite(keys[1], "a=1", "a=2")),
        Aim("c-unreached", "its base", _rebase(name, "scratch", "unstale-oracle/plain")),
    ]


def _renumber(draft: Draft, at: int) -> None:
    """Keep references by number right: a stage was put in at *at*."""
    for _, line in draft.lines():
        for number in range(len(draft.stages) - 1, at - 1, -1):
            for end in " ,":
                line.rest = line.rest.replace(f"from={number}{end}", f"from={number + 1}{end}")


def _rebase(name: str, *bases: str) -> Change:
    def change(rng: Random, draft: Draft) -> None:
        for stage in draft.stages:
            if stage.name == name:
                stage.base = another(rng, stage.base, bases)

    return change


def from_stage(rng: Random, draft: Draft) -> list[Aim]:
    """A stage of its own, from which the last one copies."""
    top, name = home(draft), f"f{draft.next()}"
    draft.tree |= {f"{top}/a": file(text_of(rng)), f"{top}/b": file(text_of(rng))}
    shell = rng.random() < 0.5
    stage = Stage(name, "unstale-oracle/plain" if shell else "scratch", has_shell=shell)
    draft.add(stage, "COPY", f"{top}/a {goal(draft)}")
    label = draft.add(stage, "LABEL", "a=1")
    keys = [run(draft, stage)] if shell else []
    last = draft.last
    draft.stages.insert(0, stage)
    _renumber(draft, 0)
    by = rng.choice((name, name.upper(), "0"))
    key = draft.add(last, "COPY", f"--from={by} {'/w' if shell else '/'} {goal(draft)}")
    rest = draft.line(key).rest
    aims = [
        Aim("c-from-stage", "edit what it reads", edit(f"{top}/a")),
        Aim("c-from-stage", "edit what it does not read", edit(f"{top}/b")),
        Aim("c-from-stage", "its label", rewrite(label, "a=1", "a=2")),
        Aim("c-from-stage", "chmod", _chmod(f"{top}/a", (0o644, 0o600))),
    ]
    if keys:
        aims.append(Aim("c-from-stage", "its command", rewrite(keys[0], *_runs(draft))))
    if "--from=0 " not in rest:
        aims.append(Aim("c-text", "stage renamed", rename_stage))
    return aims


def from_image(rng: Random, draft: Draft) -> list[Aim]:
    if draft.moving:
        return []
    draft.moving = "plain"
    draft.add(stage_of(rng, draft), "COPY", f"--from=@TAG@ /w {goal(draft)}")
    return [
        Aim("c-tag-moved", "the image moves", _move("plain", "moved")),
        Aim("c-relabelled", "the image is relabelled", _move("plain", "relabelled")),
    ]


def moved_base(rng: Random, draft: Draft) -> list[Aim]:
    shells = [s for s in draft.stages if s.base == "unstale-oracle/plain"]
    if draft.moving or not shells:
        return []
    rng.choice(shells).base = "@TAG@"
    draft.moving = "plain"
    return [
        Aim("c-tag-moved", "the base moves", _move("plain", "moved")),
        Aim("c-relabelled", "the base is relabelled", _move("plain", "relabelled")),
    ]


def bind_mount(rng: Random, draft: Draft) -> list[Aim]:
    top, stage = home(draft), stage_of(rng, draft, shell=True)
    draft.tree |= {f"{top}/a": file(text_of(rng)), f"{top}/s/b": file(text_of(rng))}
    draft.tree[f"{top}/l"] = link("s")
    source = rng.choice((f"{top}/s", f"/{top}/s", f"{top}/s/b", f"{top}", f"{top}/l"))
    name = rng.choice(("source", "src"))
    flag = f"--mount={rng.choice(('type=bind,', ''))}{name}={source},target=/m "
    run(draft, stage, flag)
    return [
        Aim("c-bind", "edit", edit(f"{top}/s/b")),
        Aim("c-bind", "edit beside", edit(f"{top}/a")),
        Aim("c-bind", "chmod", _chmod(f"{top}/s/b", (0o644, 0o600, 0o755))),
        Aim("c-bind", "touch", _touch(f"{top}/s/b")),
        Aim("c-bind", "add", put(f"{top}/s/n", file("1"), file("2"))),
    ]


def whole_bind_mount(rng: Random, draft: Draft) -> list[Aim]:
    name = f"bound{draft.next()}"
    draft.tree |= {f"{name}/a": file(text_of(rng)), f"{name}/left": file(text_of(rng))}
    draft.ignore = [*(draft.ignore or []), f"{name}/left"]
    run(
        draft,
        stage_of(rng, draft, shell=True),
        f"--mount={rng.choice(('', 'type=bind,'))}target=/m ",
    )
    return [
        Aim("c-bind", "edit", edit(f"{name}/a")),
        Aim("c-bind", "edit an ignored one", edit(f"{name}/left")),
        Aim("c-bind", "other look", other_look),
        Aim("a-root-mode", "chmod the root", _root_mode),
    ]


def mount_from(rng: Random, draft: Draft) -> list[Aim]:
    """A mount of a named context, whole or in part."""
    top, name = home(draft), f"c{draft.next()}"
    draft.named[name] = {f"{top}/a": file(text_of(rng)), "s/b": file(text_of(rng))}
    part = rng.choice(("", "source=s,", "source=/s,"))
    run(draft, stage_of(rng, draft, shell=True), f"--mount=from={name},{part}target=/m ")
    return [
        Aim("c-bind-from", "edit", _edit_named(name, "s/b")),
        Aim("c-bind-from", "edit elsewhere", _edit_named(name, f"{top}/a")),
    ]


def _edit_named(name: str, path: str) -> Change:
    def change(rng: Random, draft: Draft) -> None:
        if name in draft.named:
            draft.named[name][path] = file(text_of(rng) + str(rng.random()))

    return change


def mount_stage(rng: Random, draft: Draft) -> list[Aim]:
    """A mount of another stage's files."""
    top, name = home(draft), f"m{draft.next()}"
    draft.tree |= {f"{top}/a": file(text_of(rng)), f"{top}-b": file(text_of(rng))}
    user = stage_of(rng, draft, shell=True)
    stage = Stage(name, "scratch")
    draft.add(stage, "COPY", f"{top} {goal(draft)}")
    draft.stages.insert(0, stage)
    _renumber(draft, 0)
    run(draft, user, f"--mount=from={name},target=/m ")
    return [
        Aim("c-bind-from", "edit what the stage holds", edit(f"{top}/a")),
        Aim("c-bind-from", "edit beside", edit(f"{top}-b")),
    ]


def cache_mount(rng: Random, draft: Draft) -> list[Aim]:
    out = f"> /w/r{draft.next()}"
    forms = (
        f"--mount=type=cache,target=/c {UUID} {out}",
        f"--mount=type=cache,target=/c2 {UUID} {out}",
        f"--mount=type=tmpfs,target=/c {UUID} {out}",
    )
    key = draft.add(stage_of(rng, draft, shell=True), "RUN", rng.choice(forms))
    return [Aim("c-cache-mount", "other mount", rewrite(key, *forms))]


def run_heredoc(rng: Random, draft: Draft) -> list[Aim]:
    stage = stage_of(rng, draft, shell=True)
    name, out = f"H{draft.next()}", f"/w/r{draft.next()}"
    draft.add(stage, "ARG", f"{name}=1")
    mark = rng.choice(("<<EOF", '<<"EOF"', "<<-EOF"))
    key = draft.add(stage, "RUN", mark, body=f"{UUID} > {out}\necho ${name} >> {out}\n")
    return [
        Aim("c-heredoc", "body", _body(key, f"{UUID} > {out}\n", f"\n{UUID} > {out}\n")),
        Aim("c-heredoc", "its arg", arg(name, "1", "2", None)),
        Aim("c-heredoc", "an empty line more", _longer(key)),
    ]


def copy_heredoc(rng: Random, draft: Draft) -> list[Aim]:
    stage = stage_of(rng, draft)
    name = f"H{draft.next()}"
    draft.add(stage, "ARG", f"{name}=1")
    mark = rng.choice(("<<EOF", '<<"EOF"', "<<-EOF", "--chmod=600 <<EOF"))
    bodies = (f"one ${name}\n", f"two ${{{name}:-d}}\n", "\tthree\n", "three\n", f"\\${name}\n")
    key = draft.add(stage, "COPY", f"{mark} /o{draft.next()}/d/f", body=rng.choice(bodies))
    return [
        Aim("c-heredoc", "body", _body(key, *bodies)),
        Aim("c-heredoc", "its arg", arg(name, "1", "2", None)),
    ]


def _body(key: int, *bodies: str) -> Change:
    def change(rng: Random, draft: Draft) -> None:
        line = draft.line(key)
        line.body = another(rng, line.body, bodies)

    return change


def _longer(key: int) -> Change:
    def change(_rng: Random, draft: Draft) -> None:
        line = draft.line(key)
        line.body = f"{line.body}\n"

    return change


def added_archive(rng: Random, draft: Draft) -> list[Aim]:
    top = home(draft)
    draft.tree |= {f"{top}.tar": file(_archive(1, "x")), f"{top}.txt": file(text_of(rng))}
    draft.add(stage_of(rng, draft), "ADD", f"{top}.tar {top}.txt {goal(draft)}")
    return [
        Aim("c-add-tar", "a member's time", put(f"{top}.tar", *map(_tar, (1, 2, 3)))),
        Aim(
            "c-add-tar",
            "a member's bytes",
            put(f"{top}.tar", file(_archive(1, "x")), file(_archive(1, "y"))),
        ),
        Aim("c-add-tar", "the file beside it", edit(f"{top}.txt")),
        Aim("c-add-tar", "touch", _touch(f"{top}.tar")),
    ]


def _tar(mtime: int) -> Node:
    return file(_archive(mtime, "x"))


def _archive(mtime: int, content: str) -> str:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("x")
        member.mtime, member.size = mtime, len(content)
        tar.addfile(member, io.BytesIO(content.encode()))
    return made.getvalue().decode(errors="surrogateescape")


def onbuild_base(_rng: Random, draft: Draft) -> list[Aim]:
    stage = draft.stages[0]
    if stage.base == "scratch" or draft.moving:
        return []
    stage.base, draft.moving = "@TAG@", "onbuild"
    return [
        Aim("c-onbuild", "edit the one", edit("src/a")),
        Aim("c-onbuild", "edit the other", edit("lib/b")),
        Aim("c-onbuild", "another trigger", _move("onbuild", "onbuild2", "onbuild-run", "plain")),
    ]


def onbuild_parent(rng: Random, draft: Draft) -> list[Aim]:
    """A parent stage's trigger; it fires in each child."""
    top, name = home(draft), f"b{draft.next()}"
    draft.tree |= {f"{top}/{n}": file(text_of(rng)) for n in "abc"}
    first = draft.stages[0]
    parent = Stage(name, first.base, has_shell=first.has_shell)
    draft.add(parent, "COPY", f"{top}/c {goal(draft)}")
    to = goal(draft)
    triggers = [f"COPY {top}/a {to}", f"COPY {top}/b {to}"]
    if first.has_shell:
        triggers.append(f"RUN {UUID} > /w/r{draft.next()}")
    key = draft.add(parent, "ONBUILD", rng.choice(triggers))
    first.base = name
    draft.stages.insert(0, parent)
    _renumber(draft, 0)
    return [
        *(Aim("c-onbuild", f"edit {n}", edit(f"{top}/{n}")) for n in "abc"),
        Aim("c-onbuild", "another trigger", rewrite(key, *triggers)),
    ]


def named_folder(rng: Random, draft: Draft) -> list[Aim]:
    """An additional context, with rules of its own."""
    name = f"c{draft.next()}"
    draft.named[name] = {
        "s/a": file(text_of(rng)),
        "s/left": file(text_of(rng)),
        "t/b": file(text_of(rng)),
    }
    if rng.random() < 0.6:
        draft.named[name][".dockerignore"] = file("s/left\n.dockerignore\n")
        draft.ignore = [*(draft.ignore or []), "s/a"]
    what = rng.choice(("s", "/s", "s/*", "."))
    draft.add(stage_of(rng, draft), "COPY", f"--from={name} {what} {goal(draft)}")
    return [
        Aim("c-contexts", "edit", _edit_named(name, "s/a")),
        Aim("c-contexts", "edit elsewhere", _edit_named(name, "t/b")),
        Aim("b-named", "edit an ignored one", _edit_named(name, "s/left")),
        Aim("b-named", "other rules", _named_rules(name)),
    ]


def _named_rules(name: str) -> Change:
    def change(rng: Random, draft: Draft) -> None:
        lines = rng.choice(
            ("s/left\n.dockerignore\n", "s/a\n.dockerignore\n", "t\n.dockerignore\n")
        )
        draft.named[name][".dockerignore"] = file(lines)

    return change


def replaced_stage(rng: Random, draft: Draft) -> list[Aim]:
    """A named context instead of a stage, whose files do not matter then."""
    top, name = home(draft), f"r{draft.next()}"
    draft.tree[f"{top}/a"] = file(text_of(rng))
    stage = Stage(name, "scratch")
    key = draft.add(stage, "COPY", f"{top} {goal(draft)}")
    draft.stages.insert(0, stage)
    _renumber(draft, 0)
    draft.named[name] = {"s/b": file(text_of(rng)), "c": file(text_of(rng))}
    draft.add(draft.last, "COPY", f"--from={name} /s {goal(draft)}")
    return [
        Aim("c-contexts", "edit what the stage read", edit(f"{top}/a")),
        Aim("c-contexts", "edit what replaces it", _edit_named(name, "s/b")),
        Aim("c-contexts", "edit elsewhere", _edit_named(name, "c")),
        Aim("c-contexts", "the stage's source", rewrite(key, f"{top} /q/", f"{top}/a /q/")),
    ]


def image_context(rng: Random, draft: Draft) -> list[Aim]:
    """An image under another name, as a base or as a source."""
    name = f"g{draft.next()}"
    draft.named_images[name] = "unstale-oracle/plain"
    shells = [s for s in draft.stages if s.base == "unstale-oracle/plain"]
    if shells and rng.random() < 0.5:
        rng.choice(shells).base = name
    else:
        draft.add(stage_of(rng, draft), "COPY", f"--from={name} /w {goal(draft)}")

    def change(rng: Random, draft: Draft) -> None:
        variants = ("plain", "moved", "relabelled")
        images = [f"unstale-oracle/{v}" for v in variants]
        draft.named_images[name] = another(rng, draft.named_images[name], images)

    return [Aim("c-contexts", "another image", change), Aim("a-unread", "edit", edit("lib/b"))]


def user_and_env(rng: Random, draft: Draft) -> list[Aim]:
    """Settings that each later RUN sees, and that a child inherits."""
    stage = stage_of(rng, draft)
    key = draft.add(stage, "ENV", f"G{draft.next()}=1")
    name = draft.line(key).rest[:-2]
    user = draft.add(stage, "USER", "0")
    return [
        Aim("c-run", "an ENV somewhere", rewrite(key, f"{name}=1", f"{name}=2")),
        Aim("c-run", "the user", rewrite(user, "0", "0:0", "root" if stage.name == "?" else "0:1")),
    ]


INGREDIENTS: tuple[tuple[Ingredient, int], ...] = (
    (copied_folder, 12), (copied_file, 4), (chmod_flag, 5), (chown_flag, 3), (link_in_tree, 7),
    (copied_link, 5), (odd_names, 3), (git_folder, 5),
    *((one, 3) for one in IGNORING),
    (ignore_bytes, 2), (own_ignore_file, 5), (ignored_glob, 2), (whole_context, 5),
    (linked_ignore_file, 2),
    (text_only, 3), (escape_character, 4), (json_form, 2), (glob, 4), (optional_file, 2),
    (clamped, 4), (expansion, 4), (named_by_arg, 3), (empty_variable, 3), (base_env, 6),
    (inherited, 3), (platform_arg, 2), (other_platform, 9), (run_arg, 6), (run_command, 4),
    (configuration, 5), (quoted_label, 3), (unreached, 4), (from_stage, 5), (from_image, 3),
    (moved_base, 3), (bind_mount, 4), (whole_bind_mount, 1), (mount_from, 3), (mount_stage, 3),
    (cache_mount, 6), (run_heredoc, 3), (copy_heredoc, 4), (added_archive, 3), (onbuild_base, 3),
    (onbuild_parent, 4), (named_folder, 6), (replaced_stage, 3), (image_context, 3),
    (user_and_env, 3),
)  # fmt: skip
"""With the weight of each."""
