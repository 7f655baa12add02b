"""Random builds and random mutations of them, from a seed alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import ingredients as parts
from draft import Draft, Stage
from ingredients import INGREDIENTS, Aim
from scenario import Node, fifo, file, folder, link

# How often a mutation is one that the scenario's own ingredients aim at.
_AIMED = 0.75


@dataclass(frozen=True, slots=True)
class Chain:
    """A scenario and what can be done to it."""

    draft: Draft
    aims: tuple[Aim, ...]
    features: tuple[str, ...]


def chain(seed: str) -> Chain:
    """The scenario of *seed*."""
    rng = Random(seed)
    draft = _skeleton(rng)
    aims: list[Aim] = []
    chosen, weights = zip(*INGREDIENTS, strict=True)
    features = rng.choices(chosen, weights, k=rng.choice((2, 3, 3, 4, 5)))
    for ingredient in dict.fromkeys(features):
        aims += ingredient(rng, draft)
    _finish(rng, draft)
    names = tuple(getattr(one, "__name__", "ignored") for one in features)
    return Chain(draft, tuple(aims), names)


def mutate(seed: str, draft: Draft, aims: tuple[Aim, ...]) -> tuple[Draft, str, str]:
    """A copy of *draft* with one mutation that changed it; its row and its name."""
    rng = Random(seed)
    before = draft.scenario()
    while True:
        aim = rng.choice(aims if aims and rng.random() < _AIMED else GENERIC)
        after = draft.copy()
        aim.change(rng, after)
        if after.scenario() != before:
            return after, aim.row, aim.name


def _skeleton(rng: Random) -> Draft:
    """Stages that need each other, and two folders that base images know."""
    draft = Draft()
    draft.tree = {
        "src/a": file(parts.text_of(rng)),
        "lib/b": file(parts.text_of(rng)),
        "README.md": file(parts.text_of(rng)),
    }
    draft.place = rng.choice(("Dockerfile",) * 6 + ("sub/D.docker", "../beside/D"))
    draft.inline = rng.random() < 0.15
    for number in range(rng.choice((1, 1, 2, 2, 3))):
        draft.stages.append(_stage(rng, draft, number))
    return draft


def _stage(rng: Random, draft: Draft, number: int) -> Stage:
    named = [stage for stage in draft.stages if stage.name]
    if named and rng.random() < 0.4:
        parent = rng.choice(named)
        base, shell = parent.name, parent.has_shell
    else:
        shell = rng.random() < 0.65
        base = "unstale-oracle/plain" if shell else "scratch"
    name = f"s{number}" if rng.random() < 0.8 else ""
    return Stage(name, base, has_shell=shell)


def _finish(rng: Random, draft: Draft) -> None:
    """Let the last stage need every other one of the skeleton, by name or number."""
    last = draft.last
    for number, stage in enumerate(draft.stages[:-1]):
        if stage.name.startswith("s") or not stage.name:
            if stage.has_shell:
                parts.run(draft, stage)
            elif not stage.lines:
                draft.add(stage, "COPY", f"README.md {parts.goal(draft)}")
            if stage.name != last.base:
                name = rng.choice((stage.name or str(number), str(number)))
                source = "/w" if stage.has_shell else "/"
                draft.add(last, "COPY", f"--from={name} {source} {parts.goal(draft)}")
    if not last.lines or rng.random() < 0.3:
        draft.add(last, "COPY", f"src {parts.goal(draft)}")
    if last.has_shell and rng.random() < 0.5:
        parts.run(draft, last)
    if last.name and rng.random() < 0.2:
        draft.target = last.name
        if rng.random() < 0.5:
            draft.stages.append(Stage("after", last.name))
            draft.add(draft.last, "COPY", f"README.md {parts.goal(draft)}")


def _paths(draft: Draft, *kinds: str) -> list[str]:
    return sorted(path for path, node in draft.tree.items() if node.kind in kinds)


def _edit(rng: Random, draft: Draft) -> None:
    parts.edit(rng.choice(_paths(draft, "file")))(rng, draft)


def _touch(rng: Random, draft: Draft) -> None:
    path = rng.choice(_paths(draft, "file"))
    draft.tree[path] = replace(draft.tree[path], mtime_s=rng.randrange(1, 10**6))


def _chmod(rng: Random, draft: Draft) -> None:
    path = rng.choice(_paths(draft, "file"))
    mode = rng.choice((0o644, 0o600, 0o755, 0o664))
    draft.tree[path] = replace(draft.tree[path], mode=mode)


def _chmod_folder(rng: Random, draft: Draft) -> None:
    path = rng.choice(_paths(draft, "file"))
    above = path.rpartition("/")[0]
    if above:
        draft.tree[above] = folder(rng.choice((0o755, 0o700, 0o775)))


def _add(rng: Random, draft: Draft) -> None:
    above = rng.choice(_paths(draft, "file")).rpartition("/")[0]
    name = rng.choice(("new", "new.md", ".new", "a.c", "n e w"))
    draft.tree[f"{above}/{name}".lstrip("/")] = rng.choice(_NEW)


_NEW: tuple[Node, ...] = (file("new"), file("new", 0o755), folder(), link("nowhere"), fifo())


def _remove(rng: Random, draft: Draft) -> None:
    path = rng.choice(_paths(draft, "file"))
    if not any(node.kind == "twin" and node.text == path for node in draft.tree.values()):
        del draft.tree[path]


def _become_link(rng: Random, draft: Draft) -> None:
    path = rng.choice(_paths(draft, "file"))
    if not any(node.kind == "twin" and node.text == path for node in draft.tree.values()):
        other = rng.choice(_paths(draft, "file"))
        draft.tree[path] = link(f"/{other}" if other != path else "nowhere")


def _ignore(rng: Random, draft: Draft) -> None:
    if ".dockerignore" in draft.tree:
        return
    path = rng.choice(_paths(draft, "file"))
    rules = ("never", f"!{path}", "**/*.never", f"{path}", f"**/{path.rpartition('/')[2]}", "# c")
    draft.ignore = [*(draft.ignore or []), rng.choice(rules)]


def _unignore(rng: Random, draft: Draft) -> None:
    if draft.ignore:
        draft.ignore.pop(rng.randrange(len(draft.ignore)))


def _new_arg(rng: Random, draft: Draft) -> None:
    draft.args[f"UNKNOWN{rng.randrange(3)}"] = str(rng.randrange(10))


def _new_stage(rng: Random, draft: Draft) -> None:
    draft.stages.insert(
        0, Stage(f"z{draft.next()}", rng.choice(("scratch", "unstale-oracle/moved")))
    )
    parts._renumber(draft, 0)


def _swap(rng: Random, draft: Draft) -> None:
    """Exchange two neighbouring instructions that do the same kind of thing."""
    stage = rng.choice(draft.stages)
    pairs = [
        at for at in range(len(stage.lines) - 1) if stage.lines[at].word == stage.lines[at + 1].word
    ]
    if pairs:
        at = rng.choice(pairs)
        stage.lines[at : at + 2] = reversed(stage.lines[at : at + 2])


def _target(rng: Random, draft: Draft) -> None:
    names = [
        stage.name
        for stage in draft.stages
        if stage.name and "nowhere" not in stage.base and stage.name not in draft.named
    ]
    if names:
        name = rng.choice(names)
        draft.target = rng.choice((name, name.upper()))


def _inline(_rng: Random, draft: Draft) -> None:
    draft.inline = not draft.inline


def _place(rng: Random, draft: Draft) -> None:
    draft.place = rng.choice(("Dockerfile", "sub/D.docker", "Other", "../beside/D"))


GENERIC: tuple[Aim, ...] = (
    *(Aim("a-content", "edit any file", _edit),) * 3,
    Aim("a-mtime", "touch any file", _touch),
    Aim("a-mode", "chmod any file", _chmod),
    Aim("a-folder-mode", "chmod any folder", _chmod_folder),
    Aim("a-content", "add anywhere", _add),
    Aim("a-content", "remove anything", _remove),
    Aim("a-link", "a file becomes a link", _become_link),
    Aim("a-root-mode", "chmod the root", parts._root_mode),
    Aim("b-any", "one more rule", _ignore),
    Aim("b-any", "one rule less", _unignore),
    Aim("c-arg-unused", "an undeclared arg", _new_arg),
    Aim("c-unreached", "one more stage", _new_stage),
    Aim("c-order", "two instructions change places", _swap),
    *(Aim("c-text", "other look", parts.other_look),) * 2,
    Aim("c-text", "stage renamed", parts.rename_stage),
    Aim("c-unreached", "another target", _target),
    Aim("c-inline", "inline or not", _inline),
    Aim("c-text", "Dockerfile renamed", _place),
)
