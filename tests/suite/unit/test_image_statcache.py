from __future__ import annotations

import os
import random
import shutil
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unstale.image import dockerignore, listing, statcache
from unstale.image.listing import Listing, Stat
from unstale.image.statcache import StatCache
from unstale.image.tree import ContextTree

LONG_AGO_S = 1_700_000_000
OPTIONS = ("", "b\n**/y")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "context"
    for path in ("a/x", "a/y", "b/x", "b/c/x", "top"):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(path)
    (place / "link").symlink_to("top")
    settle(place)
    return place


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / "context.cache"


def settle(folder: Path) -> None:
    """Wait until what was written to *folder* is older than a tick of its clock."""
    probe = folder.parent / "probe"
    probe.touch()
    until_ns = probe.stat().st_ctime_ns + 2 * statcache._TICK_NS
    while probe.stat().st_ctime_ns < until_ns:
        time.sleep(0.005)
        probe.touch()


def digest(root: Path, cache: StatCache | None = None, ignore: str = "") -> bytes:
    return ContextTree(root, dockerignore.parse(ignore), cache).digest(".")


def command(root: Path, state: Path, ignore: str = "") -> bytes:
    """What a process of its own would answer."""
    cache = StatCache.load(state)
    answer = digest(root, cache, ignore)
    cache.save()
    return answer


@pytest.fixture
def opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened."""
    names: list[str] = []
    real = os.open

    def note(place: str, flags: int, *options: int, **named: int) -> int:
        if Path(place).is_relative_to(root) and not flags & os.O_DIRECTORY:
            names.append(str(Path(place).relative_to(root)))
        return real(place, flags, *options, **named)

    monkeypatch.setattr(os, "open", note)
    return names


def test_a_file_is_read_once_whatever_processes_ask(
    root: Path, state: Path, opened: list[str]
) -> None:
    first = command(root, state)
    assert sorted(opened) == ["a/x", "a/y", "b/c/x", "b/x", "top"]
    opened.clear()

    assert command(root, state) == first
    assert opened == []


def test_only_the_file_that_changed_is_read_again(
    root: Path, state: Path, opened: list[str]
) -> None:
    command(root, state)
    opened.clear()
    (root / "a/x").write_text("changed")

    answer = command(root, state)

    assert opened == ["a/x"]
    assert answer == digest(root)


def test_a_file_that_was_read_for_some_rules_is_not_read_for_others(
    root: Path, state: Path, opened: list[str]
) -> None:
    command(root, state)
    opened.clear()

    assert command(root, state, "**/y") != command(root, state, "b")
    assert opened == []


def test_rules_that_nobody_uses_any_more_are_forgotten(root: Path, state: Path) -> None:
    for number in range(20):
        command(root, state, f"nothing{number}")
    size = state.stat().st_size
    for number in range(20, 40):
        command(root, state, f"nothing{number}")

    assert state.stat().st_size == size
    assert command(root, state, "nothing1") == digest(root)


def keep_stamps(place: Path, change: Callable[[Path], object]) -> None:
    before = place.stat()
    change(place)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (place.stat().st_mtime_ns, place.stat().st_size) == (before.st_mtime_ns, before.st_size)


def replace(place: Path) -> None:
    place.with_name("new").write_text("b/x")
    place.with_name("new").replace(place)


UNSEEN_BY_MTIME: dict[str, Callable[[Path], object]] = {
    "edited in place": lambda place: place.write_text("b/x"),
    "replaced by another inode": replace,
    "mode": lambda place: place.chmod(0o600),
}


@pytest.mark.parametrize("change", UNSEEN_BY_MTIME.values(), ids=UNSEEN_BY_MTIME)
def test_a_change_that_restores_size_and_mtime_is_seen(
    root: Path, state: Path, change: Callable[[Path], object]
) -> None:
    before = command(root, state)

    keep_stamps(root / "a/x", change)

    assert command(root, state) != before
    assert command(root, state) == digest(root)


def test_a_change_in_the_tick_of_the_scan_is_seen(
    root: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ahead, so that no slow machine leaves the tick before the scan does.
    real, now_ns = listing.of, time.time_ns() + 60 * 10**9

    def coarse(folder: str) -> Listing:
        """As a clock would stamp that stands still while all this happens."""
        return [(name, (*found[:3], now_ns, now_ns, found[5])) for name, found in real(folder)]

    monkeypatch.setattr(listing, "of", coarse)
    before = command(root, state)

    (root / "a/x").write_text("b/x")

    assert command(root, state) != before


def test_what_was_written_in_the_tick_of_the_scan_is_read_once_more(
    root: Path, state: Path, opened: list[str]
) -> None:
    (root / "a/x").write_text("new")
    command(root, state)
    opened.clear()
    settle(root)

    command(root, state)
    command(root, state)

    assert opened == ["a/x"]


HOUR_NS = 3600 * 10**9
NOW_NS = LONG_AGO_S * 10**9


def stamped(*, device: int = 1, mtime_ns: int = 0, ctime_ns: int = 0) -> Stat:
    return (device, 7, 0, mtime_ns, ctime_ns, stat.S_IFREG)


@pytest.mark.parametrize(
    ("found", "tick_ns", "expected"),
    [
        (stamped(), 20, True),
        (stamped(mtime_ns=NOW_NS - 21, ctime_ns=NOW_NS - 21), 20, True),
        (stamped(mtime_ns=NOW_NS - 20), 20, False),
        (stamped(ctime_ns=NOW_NS - 20), 20, False),
        (stamped(mtime_ns=NOW_NS + HOUR_NS), 20, False),
        (stamped(device=2, ctime_ns=NOW_NS - HOUR_NS), 20, False),
        (stamped(device=2, ctime_ns=NOW_NS - HOUR_NS - 1), 20, True),
    ],
    ids=[
        "long ago",
        "more than a tick",
        "mtime within the tick",
        "ctime within the tick",
        "in the future",
        "other clock, an hour",
        "other clock, longer",
    ],
)
def test_only_what_is_older_than_the_scan_is_trusted(
    found: Stat, tick_ns: int, expected: bool
) -> None:
    assert statcache._Clock(1, NOW_NS, tick_ns).is_past(found) is expected


def test_the_file_system_is_asked_for_the_time(state: Path) -> None:
    before_ns = time.time_ns() - statcache._TICK_NS

    clock = statcache._Clock.read(state)

    device = state.parent.stat().st_dev
    assert clock.is_past(stamped(device=device, ctime_ns=before_ns - statcache._TICK_NS))
    assert not clock.is_past(stamped(device=device, ctime_ns=time.time_ns()))
    assert list(state.parent.iterdir()) == []


def test_stamps_without_fractions_are_given_two_seconds(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstat

    class Whole:
        def __init__(self, descriptor: int) -> None:
            self.st_dev = real(descriptor).st_dev
            self.st_mtime_ns = NOW_NS

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", Whole)
        clock = statcache._Clock.read(state)

    device = state.parent.stat().st_dev
    assert not clock.is_past(stamped(device=device, ctime_ns=NOW_NS - 2 * 10**9))
    assert clock.is_past(stamped(device=device, ctime_ns=NOW_NS - 3 * 10**9))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "one bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "checksum": lambda content: content.replace(b"\n", b"\n\1", 1),
    "foreign": lambda _: b"{}",
    "other format": lambda content: content.replace(b"cache 1", b"cache 0", 1),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache_is_an_empty_cache(
    root: Path, state: Path, opened: list[str], damage: Callable[[bytes], bytes]
) -> None:
    answer = command(root, state)
    state.write_bytes(damage(state.read_bytes()))
    opened.clear()

    assert command(root, state) == answer
    assert len(opened) == 5
    assert command(root, state) == answer
    assert len(opened) == 5


@pytest.mark.parametrize("place", ["file/cache", "folder"])
def test_a_place_that_cannot_be_written_is_left_alone(
    root: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()

    assert command(root, tmp_path / place) == digest(root)
    assert sorted(path.name for path in tmp_path.iterdir() if path != root) == [
        "file",
        "folder",
        "probe",
    ]


def test_a_write_that_fails_leaves_the_old_cache(
    root: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(root, state)
    before = state.read_bytes()
    (root / "a/x").write_text("changed")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        command(root, state)

    assert [path.read_bytes() for path in state.parent.iterdir()] == [before]


def test_two_processes_at_once_leave_a_whole_cache(
    root: Path, state: Path, opened: list[str]
) -> None:
    one, other = StatCache.load(state), StatCache.load(state)
    answers = {digest(root, one), digest(root, other)}
    one.save()
    other.save()
    opened.clear()

    assert answers == {command(root, state)}
    assert opened == []


def test_nothing_is_written_where_nothing_was_learnt(root: Path, state: Path) -> None:
    command(root, state)
    before = state.stat()

    command(root, state)

    assert state.stat() == before


def test_a_rescan_sees_what_changed_since(root: Path, state: Path) -> None:
    cache = StatCache.load(state)
    before = digest(root, cache)
    keep_stamps(root / "a/x", lambda place: place.write_text("b/x"))
    assert digest(root, cache) == before

    cache.rescan()

    assert digest(root, cache) == digest(root) != before


def test_what_was_learnt_before_a_rescan_is_saved(
    root: Path, state: Path, opened: list[str]
) -> None:
    cache = StatCache.load(state)
    digest(root, cache)
    cache.rescan()
    cache.save()
    opened.clear()

    command(root, state)

    assert opened == []


def test_a_cache_that_a_checkout_brought_is_not_read(root: Path, state: Path) -> None:
    cache = StatCache.load(state, seal=b"of this machine")
    digest(root, cache)
    cache.save()

    assert StatCache.load(state, seal=b"of this machine")._saved
    assert not StatCache.load(state, seal=b"of another")._saved
    assert not StatCache.load(state)._saved


def test_a_folder_that_is_gone_is_forgotten(root: Path, state: Path) -> None:
    command(root, state)
    shutil.rmtree(root / "b")

    command(root, state)

    assert set(StatCache.load(state)._saved) == {".", "a"}


def test_a_part_that_was_not_asked_for_is_kept(root: Path, state: Path, opened: list[str]) -> None:
    command(root, state)
    (root / "a/x").write_text("changed")
    settle(root)
    cache = StatCache.load(state)
    ContextTree(root, (), cache).digest("a")
    cache.save()
    opened.clear()

    command(root, state)

    assert opened == []


def test_a_cache_of_another_folder_proves_nothing(root: Path, state: Path, tmp_path: Path) -> None:
    command(root, state)
    other = tmp_path / "other"
    shutil.copytree(root, other, symlinks=True)
    (other / "a/x").write_text("b/x")
    os.utime(other / "a/x", ns=(0, (root / "a/x").stat().st_mtime_ns))

    assert command(other, state) == digest(other) != digest(root)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second process list even the smallest tree."""
    monkeypatch.setattr(statcache, "_MUCH_BYTES", 0)
    monkeypatch.setattr(statcache, "_START_BYTES", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def change_all(root: Path) -> None:
    for place in (root / "a/x", root / "b/c/x", root / "top"):
        keep_stamps(place, lambda one: one.write_text(one.read_text().swapcase()))
    (root / "b/new").mkdir()


@pytest.mark.usefixtures("shared")
def test_two_processes_see_what_one_would(
    root: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(root, state)
    change_all(root)
    here: list[str] = []
    real = listing.of
    monkeypatch.setattr(listing, "of", lambda folder: here.append(folder) or real(folder))

    answer = command(root, state)

    assert 0 < len(here) < 5
    assert answer == digest(root)


@pytest.mark.usefixtures("shared")
def test_a_second_process_that_fails_is_done_without(
    root: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(root, state)
    change_all(root)

    monkeypatch.setattr(listing, "__file__", str(root / "nothing.py"))

    assert command(root, state) == digest(root)


@pytest.mark.usefixtures("shared")
def test_a_second_process_that_cannot_start_is_done_without(
    root: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(root, state)
    change_all(root)

    monkeypatch.setattr(sys, "executable", str(root / "python"))

    assert command(root, state) == digest(root)


def test_the_second_process_answers_for_what_it_can_list(root: Path) -> None:
    question = listing.pack((str(root), [".", "gone", "b"]))

    answer = listing.unpack(listing._answer(question))

    assert {folder: dict(listing.unpack(block)).keys() for folder, block in answer.items()} == {
        ".": {"a", "b", "link", "top"},
        "b": {"c", "x"},
    }


@pytest.mark.usefixtures("shared")
def test_folders_that_are_gone_are_no_error(root: Path, state: Path) -> None:
    command(root, state)
    shutil.rmtree(root / "a")
    shutil.rmtree(root / "b")
    (root / "b").symlink_to("/")

    assert command(root, state) == digest(root)


@pytest.mark.usefixtures("shared")
def test_an_embedded_python_works_alone(
    root: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(root, state)

    monkeypatch.setattr(sys, "executable", "/usr/bin/false")

    assert command(root, state) == digest(root)


class Mutator:
    """Changes a tree at random, often so that size and mtime stay as they were."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)

    def step(self) -> None:
        moves = (self.edit, self.edit, self.chmod, self.make, self.remove, self.move, self.relink)
        self.random.choice(moves)()

    def _pick(self, *, folder: bool | None = None) -> Path:
        places = [p for p in sorted(self.root.rglob("*")) if folder in (None, is_folder(p))]
        return self.random.choice(places or [self.root])

    def edit(self) -> None:
        place = self._pick(folder=False)
        if place.is_symlink() or not place.is_file():
            return
        found = place.stat()
        place.write_bytes(self.random.randbytes(found.st_size or 3))
        if self.random.random() < 0.8:
            os.utime(place, ns=(0, found.st_mtime_ns))

    def chmod(self) -> None:
        place = self._pick()
        if not place.is_symlink():
            place.chmod(self.random.choice((0o600, 0o644, 0o755, 0o700)))

    def make(self) -> None:
        folder = self._pick(folder=True)
        place = folder / self.random.choice(("x", "y", "z", "d", "new\nline", "\udcff"))
        if not os.path.lexists(place):
            if self.random.random() < 0.4:
                place.mkdir()
            else:
                place.write_bytes(self.random.randbytes(3))
                os.utime(place, (LONG_AGO_S, LONG_AGO_S))

    def remove(self) -> None:
        place = self._pick()
        if place != self.root and self.random.random() < 0.5:
            shutil.rmtree(place) if is_folder(place) else place.unlink()

    def move(self) -> None:
        place, folder = self._pick(), self._pick(folder=True)
        target = folder / self.random.choice("xyzw")
        if place not in (self.root, *folder.parents, folder) and not os.path.lexists(target):
            place.rename(target)

    def relink(self) -> None:
        place = self._pick(folder=False)
        if is_folder(place):
            return
        place.unlink()
        place.symlink_to(self.random.choice(("x", "../x", "/a", "nothing")))


def is_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink()


@pytest.mark.parametrize(("processes", "steps"), [(1, 300), (2, 30)])
def test_a_warm_answer_is_the_cold_one_whatever_happened(
    root: Path, state: Path, processes: int, steps: int, request: pytest.FixtureRequest
) -> None:
    if processes == 2:
        request.getfixturevalue("shared")
    mutator = Mutator(root, seed=processes)
    seen = set()
    for step in range(steps):
        mutator.step()
        ignore = OPTIONS[step % 2]
        cold = digest(root, None, ignore)
        seen.add(cold)

        assert command(root, state, ignore) == cold, f"step {step}"
    assert len(seen) > steps // 5
