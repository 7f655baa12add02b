"""What is asked of a container where names do not settle what it runs."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from unstale.compose import Stack, parse
from unstale.errors import EngineUnavailable, Unavailable
from unstale.facts import ArchiveMember, ContainerFact, MountFact, Placement
from unstale.ports import CommandResult, RunOptions
from unstale.stack.drift import CONFIG_HASH
from unstale.stack.judge import ContainerStatus, absent, judge_containers
from unstale.verdict import Fresh, NotAsked, Reason, Stale, Unknown, Verdict, word

if TYPE_CHECKING:
    from conftest import FakeDocker

STACK = Stack("demo", (), (), ())
DEST = PurePosixPath("/app/src/code.py")
HIDDEN = Stale((Reason("mount:/app/src", "modified"),))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The copied file, in a folder whose name no link leads to."""
    folder = Path(os.path.realpath(tmp_path)) / "src"
    folder.mkdir()
    (folder / "code.py").write_bytes(b"new")
    return folder / "code.py"


def judge(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    *mounts: MountFact,
    derived: bool = False,
) -> ContainerStatus:
    placed = {"app": [Placement(source, DEST, derived)]}
    mounted = replace(container, mounts=mounts)
    (found,) = judge_containers(docker, STACK, [mounted], placed, {"app": "sha256:1111"})
    return found


def effects(found: ContainerStatus) -> list[str]:
    return [f.effect for f in found.findings]


def file(path: str, content: bytes = b"new", link: str | None = None) -> ArchiveMember:
    return ArchiveMember(PurePosixPath(path), 0o644, link, content)


VOLUME = MountFact("volume", "/v", "/app/src", "demo_code")
TMPFS = MountFact("tmpfs", "", "/app/src")


def test_what_nothing_lies_over_needs_no_look(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    found = judge(docker, container, source)

    assert (effects(found), found.mounts, found.verdict) == (["plain"], Fresh(), Fresh())
    assert isinstance(found.configuration, NotAsked)


# What `docker cp` shows


@pytest.mark.parametrize(
    ("held", "effect"),
    [
        ([file("/app/src/code.py")], "masked"),
        ([file("/app/src/code.py", b"old")], "hidden"),
        ([file("/app/src/code.py", b"", "elsewhere")], "hidden"),
        ([file("/app/src/other.py")], "hidden"),
        ([], "hidden"),
    ],
    ids=["equal", "old", "a link", "another", "empty"],
)
def test_bytes_of_a_volume_decide(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    held: list[ArchiveMember],
    effect: str,
) -> None:
    docker.archives["c-app"] = held

    found = judge(docker, container, source, VOLUME)

    assert effects(found) == [effect]
    assert found.verdict == (HIDDEN if effect == "hidden" else Fresh())


def test_equal_bytes_of_a_file_that_a_run_read_are_derived(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    docker.archives["c-app"] = [file("/app/src/code.py")]

    assert effects(judge(docker, container, source, VOLUME, derived=True)) == ["derived"]


def test_a_copy_into_a_folder_of_the_base_image_is_found_inside_it(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    docker.archives["c-app"] = [file("/app/src/code.py/code.py")]

    assert effects(judge(docker, container, source, VOLUME)) == ["masked"]


def test_a_file_that_is_gone_here_must_be_gone_there(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    source.unlink()
    assert judge(docker, container, source, VOLUME).verdict == Fresh()

    docker.archives["c-app"] = [file("/app/src/code.py")]
    assert judge(docker, container, source, VOLUME).verdict == HIDDEN


def test_what_no_build_copied_is_data_in_a_volume(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    (source.parent / "b.py").write_bytes(b"b")
    docker.archives["c-app"] = [
        file("/app/src/code.py"),
        file("/app/src/b.py", b"b"),
        file("/app/src/data.db", b"rows"),
    ]
    placed = [
        Placement(source, DEST, derived=False),
        Placement(source.parent / "b.py", DEST.parent / "b.py", derived=False),
    ]

    (found,) = judge_containers(
        docker,
        STACK,
        [replace(container, mounts=(VOLUME,))],
        {"app": placed},
        {"app": "sha256:1111"},
    )

    assert (effects(found), found.verdict) == (["masked", "masked"], Fresh())


def test_a_link_is_compared_by_its_target(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    source.unlink()
    source.symlink_to("./elsewhere")
    docker.archives["c-app"] = [file("/app/src/code.py", b"", "./elsewhere")]
    assert judge(docker, container, source, VOLUME).verdict == Fresh()

    docker.archives["c-app"] = [file("/app/src/code.py", b"", "elsewhere")]
    assert judge(docker, container, source, VOLUME).verdict == HIDDEN


@pytest.mark.parametrize("error", [Unavailable("too much"), OSError("gone")])
def test_a_volume_that_cannot_be_read_is_unknown(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(docker, "files_in_container", refuse)

    found = judge(docker, container, source, VOLUME)

    assert isinstance(found.mounts, Unknown)
    assert "demo-app-1 sees at /app/src" in found.mounts.why
    assert effects(found) == ["hidden"]


@pytest.mark.parametrize("method", ["files_in_container", "files_in_image"])
def test_an_engine_that_is_gone_is_no_verdict(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    def refuse(*_: object) -> None:
        raise EngineUnavailable("gone")

    docker.archives["c-app"] = [file("/app/src/code.py")]
    monkeypatch.setattr(docker, method, refuse)

    with pytest.raises(EngineUnavailable):
        judge(docker, container, source, VOLUME)


# Volumes that were made with the container


ANONYMOUS = MountFact("volume", "/v", "/app/src", "a" * 64)


def test_a_volume_that_was_made_with_the_container_shows_the_image(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    docker.archives["c-app"] = [file("/app/src/code.py", b"changed by the container itself")]

    found = judge(docker, container, source, ANONYMOUS)

    assert (effects(found), found.verdict) == (["plain"], Fresh())
    placed = {"app": [Placement(source, DEST, derived=False)]}
    mounted = replace(container, mounts=(VOLUME,))
    (run,) = judge_containers(
        docker, STACK, [mounted], placed, {"app": "sha256:1111"}, new_volumes={"demo_code"}
    )
    assert (effects(run), run.verdict) == (["plain"], Fresh())


@pytest.mark.parametrize(
    ("labels", "mount"),
    [
        ({"com.docker.compose.replace": "c-old"}, ANONYMOUS),
        ({}, replace(ANONYMOUS, copies=False)),
        ({}, VOLUME),
    ],
    ids=["handed on", "not filled", "named"],
)
def test_any_other_volume_is_compared(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    labels: dict[str, str],
    mount: MountFact,
) -> None:
    docker.archives["c-app"] = [file("/app/src/code.py", b"old")]

    assert judge(docker, replace(container, labels=labels), source, mount).verdict == HIDDEN


PACKAGES = MountFact("volume", "/v", "/app/packages", "demo_packages")
MADE = [file("/app/packages/a.js", b"2"), file("/app/packages/b", b"", "a.js")]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([*MADE, file("/app/packages/cache", b"data")], "fresh"),
        ([file("/app/packages/a.js", b"1"), MADE[1]], "unknown"),
        ([MADE[0], file("/app/packages/b", b"", "other.js")], "unknown"),
        ([], "unknown"),
    ],
    ids=["the same and more", "other bytes", "another link", "nothing"],
)
def test_what_a_run_made_may_be_old_or_data_in_a_volume(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    shown: list[ArchiveMember],
    expected: str,
) -> None:
    docker.archives |= {"sha256:1111": MADE, "c-app": shown}

    found = judge(docker, container, source, PACKAGES)

    assert word(found.verdict) == expected
    if isinstance(found.mounts, Unknown):
        assert "at /app/packages of demo-app-1" in found.mounts.why


def test_a_volume_where_the_image_has_nothing_is_data(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    docker.archives["c-app"] = [file("/app/packages/table", b"rows")]

    assert judge(docker, container, source, PACKAGES).verdict == Fresh()


def test_volumes_of_an_image_that_is_not_built_here_are_data(
    docker: FakeDocker, container: ContainerFact
) -> None:
    docker.archives |= {"sha256:1111": MADE}
    mounted = replace(container, mounts=(PACKAGES,))

    (found,) = judge_containers(docker, STACK, [mounted], {}, {"app": "sha256:1111"})

    assert found.verdict == Fresh()


def test_packages_that_cannot_be_read_are_unknown(
    docker: FakeDocker, container: ContainerFact, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Unavailable("too much")

    monkeypatch.setattr(docker, "files_in_image", refuse)

    assert word(judge(docker, container, source, PACKAGES).verdict) == "unknown"


# What only a process inside can see


def answer(code: int = 0, out: str = "", err: str = "") -> CommandResult:
    return CommandResult(returncode=code, stdout=out, stderr=err, seconds=0.0)


def sees(
    contents: dict[str, bytes], inodes: dict[str, int] | None = None
) -> Callable[[str, RunOptions], CommandResult]:
    """A container with sha256sum and stat, in which files have *contents*."""

    def line(program: str, path: str) -> str | None:
        if program == "stat":
            return f"{inodes[path]} {path}" if inodes and path in inodes else None
        if path in contents:
            return f"{hashlib.sha256(contents[path]).hexdigest()}  {path}"
        return None

    def run(_container: str, options: RunOptions) -> CommandResult:
        program, paths = options.argv[0], [a for a in options.argv[1:] if a.startswith("/")]
        lines = {path: line(program, path) for path in paths}
        return answer(
            1 if None in lines.values() else 0,
            "".join(f"{text}\n" for text in lines.values() if text),
            "".join(
                f"{program}: {path}: No such file or directory\n"
                for path, text in lines.items()
                if text is None
            ),
        )

    return run


@pytest.mark.parametrize(
    ("contents", "expected"),
    [({str(DEST): b"new"}, Fresh()), ({str(DEST): b"old"}, HIDDEN), ({}, HIDDEN)],
    ids=["equal", "old", "absent"],
)
def test_a_tmpfs_is_read_from_inside(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    contents: dict[str, bytes],
    expected: object,
) -> None:
    docker.on_execute = sees(contents)
    # What `docker cp` would show lies under the tmpfs.
    docker.archives["c-app"] = [file("/app/src/code.py", b"under")]

    assert judge(docker, container, source, TMPFS).verdict == expected


@pytest.mark.parametrize(
    "result",
    [
        answer(127, err="exec: sha256sum: executable file not found in $PATH"),
        answer(1, err="Error response from daemon: container c-app is not running"),
        answer(1, err=f"sha256sum: {DEST}: Permission denied"),
        answer(0),
    ],
    ids=["no program", "it stopped", "no permission", "nothing"],
)
def test_no_answer_from_inside_is_unknown(
    docker: FakeDocker, container: ContainerFact, source: Path, result: CommandResult
) -> None:
    docker.on_execute = lambda _c, _o: result

    assert word(judge(docker, container, source, TMPFS).verdict) == "unknown"


@pytest.mark.parametrize("mount", [TMPFS, VOLUME], ids=["tmpfs", "volume"])
def test_an_empty_file_under_a_mount_is_not_missed(
    docker: FakeDocker, container: ContainerFact, source: Path, mount: MountFact
) -> None:
    docker.on_execute = sees({})
    source.write_bytes(b"")
    assert judge(docker, container, source, mount).verdict == Fresh()

    # Where it is there, it must be empty there too.
    docker.on_execute = sees({str(DEST): b"old"})
    docker.archives["c-app"] = [file(str(DEST), b"old")]
    assert judge(docker, container, source, mount).verdict == HIDDEN


def test_a_stopped_container_is_not_asked_about_its_tmpfs(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    docker.on_execute = sees({str(DEST): b"new"})

    found = judge(docker, replace(container, status="exited"), source, TMPFS)

    assert isinstance(found.mounts, Unknown)
    assert found.mounts.why.endswith("and it is exited")


def bind(source: Path) -> MountFact:
    return MountFact("bind", str(source.parent), "/app/src")


def test_a_bind_mount_that_holds_the_folder_of_here_is_masked(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    inode = source.parent.stat().st_ino
    docker.on_execute = sees({}, {"/app/src": inode})

    assert effects(judge(docker, container, source, bind(source))) == ["masked"]


@pytest.mark.parametrize(
    ("contents", "expected"),
    [({str(DEST): b"new"}, ["masked"]), ({str(DEST): b"old"}, ["hidden"])],
)
def test_a_bind_mount_that_holds_another_folder_is_judged_by_its_bytes(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    contents: dict[str, bytes],
    expected: list[str],
) -> None:
    docker.on_execute = sees(contents, {"/app/src": 1})
    # It mounts anew, and shows what is here.
    docker.archives["c-app"] = [file("/app/src/code.py")]

    assert effects(judge(docker, container, source, bind(source))) == expected


@pytest.mark.parametrize("status", ["exited", "created"])
def test_the_next_start_of_a_container_mounts_what_is_here(
    docker: FakeDocker, container: ContainerFact, source: Path, status: str
) -> None:
    docker.on_execute = sees({}, {"/app/src": 1})

    found = judge(docker, replace(container, status=status), source, bind(source))

    assert effects(found) == ["masked"]


@pytest.mark.parametrize(
    ("started", "expected"),
    [(datetime.max.replace(tzinfo=UTC), "fresh"), (datetime(2026, 1, 1, tzinfo=UTC), "unknown")],
    ids=["unchanged since its start", "changed since"],
)
def test_where_nothing_can_be_asked_an_older_ctime_proves_the_inode(
    docker: FakeDocker, container: ContainerFact, source: Path, started: datetime, expected: str
) -> None:
    docker.on_execute = lambda _c, _o: answer(127)
    moment = started.isoformat(timespec="microseconds").replace("+00:00", "123Z")

    found = judge(docker, replace(container, started_at=moment), source, bind(source))

    assert word(found.verdict) == expected


LONE = "/etc/rules.txt"


@pytest.mark.parametrize(
    ("held", "inode", "expected"),
    [
        (b"rules", None, Fresh()),
        (b"rules", 1, Fresh()),
        (b"old", 1, Stale((Reason(f"mount:{LONE}", "modified"),))),
    ],
    ids=["the same inode", "the same bytes", "replaced"],
)
def test_a_file_that_is_mounted_alone_must_be_the_one_of_here(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    held: bytes,
    inode: int | None,
    expected: object,
) -> None:
    rules = source.parent / "rules.txt"
    rules.write_bytes(b"rules")
    inodes = {LONE: inode or rules.stat().st_ino}
    docker.on_execute = sees({LONE: held}, inodes)

    found = judge(docker, container, source, MountFact("bind", str(rules), LONE))

    assert found.verdict == expected


@pytest.mark.parametrize(
    ("inodes", "expected"),
    [({LONE: 1}, Stale((Reason(f"mount:{LONE}", "modified"),))), (None, Unknown("?"))],
    ids=["it has stat", "it has nothing"],
)
def test_a_file_that_is_gone_here_and_still_mounted_is_told(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    inodes: dict[str, int] | None,
    expected: Verdict,
) -> None:
    gone = source.parent / "gone.txt"
    nothing = answer(127)
    docker.on_execute = sees({LONE: b"old"}, inodes) if inodes else lambda _c, _o: nothing

    found = judge(docker, container, source, MountFact("bind", str(gone), LONE))

    assert word(found.verdict) == word(expected)
    if inodes:
        assert found.verdict == expected


def test_a_mount_of_another_machine_is_not_looked_for_here(
    docker: FakeDocker, container: ContainerFact, source: Path
) -> None:
    def refuse(_container: str, _options: RunOptions) -> CommandResult:
        raise AssertionError

    docker.on_execute = refuse

    mount = MountFact("bind", "/nowhere/at/all", "/data")
    assert judge(docker, container, source, mount).verdict == Fresh()


@pytest.mark.parametrize("closed", ["/srv/closed", "/srv/closed/x/data"])
def test_a_mount_that_may_not_be_looked_at_is_not_judged(
    docker: FakeDocker,
    container: ContainerFact,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    closed: str,
) -> None:
    stat = os.stat

    def denied(path: Any, *more: Any, **options: Any) -> os.stat_result:
        if str(path).startswith("/srv/closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *more, **options)

    monkeypatch.setattr(os, "stat", denied)
    docker.on_execute = sees({}, {"/data": 1})

    found = judge(docker, container, source, MountFact("bind", closed, "/data"))

    assert found.verdict == Fresh()


# Images and configuration


def containers(container: ContainerFact, images: Sequence[str]) -> list[ContainerFact]:
    return [
        replace(
            container,
            id=f"c-{n}",
            name=f"app-{n}",
            image_id=image,
            labels={CONFIG_HASH: "now"},
        )
        for n, image in enumerate(images)
    ]


def test_a_container_of_an_older_image_is_named(
    docker: FakeDocker, container: ContainerFact
) -> None:
    two = containers(container, ["sha256:1111", "sha256:2222"])

    found = judge_containers(docker, STACK, two, {}, {"app": "sha256:2222"})

    assert [s.image for s in found] == [Stale((Reason("container:app-0", "modified"),)), Fresh()]


def test_an_image_that_is_not_here_is_unknown(docker: FakeDocker, container: ContainerFact) -> None:
    (found,) = judge_containers(docker, STACK, [container], {}, {})

    assert isinstance(found.image, Unknown)


def test_one_off_containers_are_not_judged(docker: FakeDocker, container: ContainerFact) -> None:
    assert judge_containers(docker, STACK, [replace(container, one_off=True)], {}, {}) == ()


def test_each_container_is_hashed_with_its_own_image(
    docker: FakeDocker, container: ContainerFact
) -> None:
    docker.hashes = {"app": "now"}
    three = containers(container, ["sha256:1111", "sha256:2222", "sha256:1111"])
    model = {"services": {"app": {"image": "sha256:2222"}}}

    stack = parse({"name": "demo", "services": {"app": {"build": {"context": "/demo"}}}})

    found = judge_containers(docker, stack, three, {}, {"app": "sha256:2222"}, model)

    assert [s.configuration for s in found] == [Fresh(), Fresh(), Fresh()]
    asked = docker.hashed
    assert [m["services"]["app"]["image"] for m in asked] == ["sha256:1111", "sha256:2222"]


def test_a_service_without_a_container_is_told(
    docker: FakeDocker, container: ContainerFact
) -> None:
    found = judge_containers(docker, STACK, [container], {}, {})

    assert absent(["app", "db"], found) == ("db",)
