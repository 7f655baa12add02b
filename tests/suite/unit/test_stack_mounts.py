"""Which of the files that runs is the image's, the tree's, or neither."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from unstale.facts import MountFact, Placement
from unstale.stack.mounts import Effect, Finding, chain, findings, hides
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown, Verdict

ROOT = Path("/home/robin/shop")
CODE = Placement(ROOT / "src" / "app.py", PurePosixPath("/app/src/app.py"), derived=False)


def bind(source: str, target: str) -> MountFact:
    return MountFact("bind", source, target)


def volume(target: str, name: str = "shop_code") -> MountFact:
    return MountFact("volume", f"/var/lib/docker/volumes/{name}/_data", target, name)


SRC = str(ROOT / "src")
DOT = str(ROOT)


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ((), "plain"),
        ((bind(SRC, "/other"),), "plain"),
        ((bind(SRC, "/app/src"),), "masked"),
        ((bind(SRC, "/app/src/"),), "masked"),
        ((bind(DOT, "/app"),), "masked"),
        ((bind(f"{SRC}/app.py", "/app/src/app.py"),), "masked"),
        ((bind(f"{SRC}/other.py", "/app/src/app.py"),), "hidden"),
        ((bind(DOT, "/app/src"),), "hidden"),
        ((bind(str(ROOT / "old" / "src"), "/app/src"),), "hidden"),
        ((bind(SRC, "/app"),), "hidden"),
        ((bind("/", "/"),), "hidden"),
        ((volume("/app/src"),), "hidden"),
        ((volume("/app"),), "hidden"),
        ((volume("/app/src", "f" * 64),), "hidden"),
        ((MountFact("tmpfs", "", "/app/src"),), "hidden"),
        ((volume("/app/srcs"),), "plain"),
        ((volume("/app/src/app.py.d"),), "plain"),
        ((bind(DOT, "/app"), volume("/app/src")), "hidden"),
        ((volume("/app/src"), bind(DOT, "/app")), "hidden"),
        ((volume("/app"), bind(SRC, "/app/src")), "masked"),
        ((volume("/app/src"), bind(f"{SRC}/app.py", "/app/src/app.py")), "masked"),
        ((bind(DOT, "/app"), volume("/app/node_modules")), "masked"),
    ],
)
def test_the_deepest_mount_over_a_copied_file_decides(
    mounts: tuple[MountFact, ...], expected: Effect
) -> None:
    (found,) = findings([CODE], mounts)

    assert found.effect == expected
    assert (found.mount is None) == (expected == "plain")


def test_a_masked_file_that_a_run_could_have_read_is_derived() -> None:
    read = Placement(CODE.source, CODE.dest, derived=True)

    assert [f.effect for f in findings([read, CODE], [bind(SRC, "/app/src")])] == [
        "derived",
        "masked",
    ]
    assert findings([read], [])[0].effect == "plain"
    assert findings([read], [volume("/app")])[0].effect == "hidden"


LINKS = {Path("/link/src"): ROOT / "src", ROOT / "src" / "app.py": ROOT / "shared" / "app.py"}


def real(path: Path) -> Path:
    return LINKS.get(path, path)


def test_a_mount_is_compared_by_its_real_source() -> None:
    assert findings([CODE], [bind("/link/src", "/app/src")])[0].effect == "hidden"
    assert findings([CODE], [bind("/link/src", "/app/src")], real)[0].effect == "masked"


def test_a_link_that_is_mounted_alone_shows_its_target() -> None:
    alone = bind(f"{SRC}/app.py", "/app/src/app.py")

    assert findings([CODE], [alone], real)[0].effect == "masked"
    # Below a mounted folder it stays a link: the same one that was copied.
    assert findings([CODE], [bind(SRC, "/app/src")], real)[0].effect == "masked"


def test_each_mount_that_hides_is_named_once() -> None:
    other = Placement(ROOT / "src" / "b.py", PurePosixPath("/app/src/b.py"), derived=False)
    found = findings([CODE, other], [volume("/app/src")])

    assert hides(found) == Stale((Reason("mount:/app/src", "modified"),))
    assert hides(findings([CODE, other], [bind(SRC, "/app/src")])) == Fresh()


def seen_as(*effects: Effect, source: Path = CODE.source) -> list[Finding]:
    return [
        Finding(Placement(source, PurePosixPath(f"/{n}"), derived=False), effect)
        for n, effect in enumerate(effects)
    ]


CHANGED = Reason("src/app.py", "modified", "05a54e1", reader="Dockerfile:3")
DOCKERFILE = Reason("Dockerfile", "modified")


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (seen_as("masked"), ()),
        (seen_as("masked", "masked"), ()),
        (seen_as("masked", "plain"), (CHANGED,)),
        (seen_as("masked", "derived"), (CHANGED,)),
        (seen_as("masked", "hidden"), (CHANGED,)),
        (seen_as("plain"), (CHANGED,)),
        (seen_as("derived"), (CHANGED,)),
        (seen_as("masked", source=ROOT / "src" / "b.py"), (CHANGED,)),
        ([], (CHANGED,)),
    ],
)
def test_a_reason_goes_only_where_every_copy_is_masked(
    found: list[Finding], left: tuple[Reason, ...]
) -> None:
    answer = chain(Stale((CHANGED,)), [Fresh()], found, ROOT)

    assert answer.verdict == (Stale(left) if left else Fresh())
    assert [r.masked for r in answer.masked] == ([] if left else [True])


def test_a_masked_reason_is_still_told_with_all_that_is_known_of_it() -> None:
    answer = chain(Stale((CHANGED, DOCKERFILE)), [], seen_as("masked"), ROOT)

    assert answer.verdict == Stale((DOCKERFILE,))
    (masked,) = answer.masked
    assert (masked.path, masked.commit, masked.reader) == ("src/app.py", "05a54e1", "Dockerfile:3")


def test_a_path_above_the_project_is_found_too() -> None:
    reason = Reason("../lib/a.py", "modified")
    found = seen_as("masked", source=Path("/home/robin/lib/a.py"))

    assert chain(Stale((reason,)), [], found, ROOT).verdict == Fresh()


@pytest.mark.parametrize(
    ("image", "containers", "expected"),
    [
        (Fresh(), [], Fresh()),
        (Fresh(), [Fresh(), Stale((DOCKERFILE,))], Stale((DOCKERFILE,))),
        (Fresh(), [Unknown("no look")], Unknown("no look")),
        (Missing(), [Fresh()], Missing()),
        (Unknown("no label"), [Fresh()], Unknown("no label")),
        (Stale((CHANGED,)), [Unknown("no look")], Unknown("no look")),
        (Stale((CHANGED,)), [Stale((DOCKERFILE,))], Stale((DOCKERFILE,))),
    ],
)
def test_one_verdict_over_image_and_containers(
    image: Verdict, containers: list[Verdict], expected: Verdict
) -> None:
    assert chain(image, containers, seen_as("masked"), ROOT).verdict == expected
