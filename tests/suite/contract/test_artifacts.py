"""S5: whatever a container hands over, nothing is written but files of our own names."""

from __future__ import annotations

import io
import os
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unstale.adapters.docker_files import files
from unstale.adapters.files import DiskFiles
from unstale.adapters.places import refuse_links
from unstale.errors import Fault, Unavailable, UnstaleError
from unstale.ports import Allowance

REPORTS = PurePosixPath("/app/reports")
SMALL = Allowance(size_bytes=1 << 20, entries=1000)
Add = Callable[[tarfile.TarFile], None]


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", content: bytes = b""
) -> Add:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(content)
        tar.addfile(info, io.BytesIO(content))

    return add


def chunks(*adds: Add, form: int = tarfile.PAX_FORMAT) -> Callable[[], Iterator[bytes]]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for add in adds:
            add(tar)
    data = buffer.getvalue()
    return partial(_pieces, data)


def _pieces(data: bytes) -> Iterator[bytes]:
    yield from (data[i : i + 4096] for i in range(0, len(data), 4096))


def read(*adds: Add, allowance: Allowance = SMALL) -> dict[str, bytes | None]:
    found = files(chunks(*adds), REPORTS, allowance)
    return {str(m.path): None if m.link is not None else m.content for m in found}


def test_devices_pipes_and_folders_are_passed_over() -> None:
    kinds = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CONTTYPE)
    odd = [member(f"reports/{kind!r}", kind) for kind in kinds]

    found = read(*odd, member("reports/junit.xml", content=b"<a/>"))

    assert found["/app/reports/junit.xml"] == b"<a/>"
    assert len(found) <= 2  # a "contiguous" file is a regular one


def test_a_link_is_told_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("heron")

    found = read(
        member("reports/junit.xml", tarfile.SYMTYPE, link=str(tmp_path / "secret")),
        member("reports/hard", tarfile.LNKTYPE, link=f"../..{tmp_path}/secret"),
        member("reports/again", tarfile.LNKTYPE, link="reports/junit.xml"),
    )

    assert found == {"/app/reports/junit.xml": None, "/app/reports/again": None}


@pytest.mark.parametrize(
    "name",
    ["../../etc/cron.d/x", "/etc/passwd", "reports/../../../x", "reports/a\n\x1b[2Jb", "", "."],
)
def test_a_name_is_where_the_file_is_in_the_container_and_nothing_else(name: str) -> None:
    found = read(member(name, content=b"x"), member("reports/junit.xml", content=b"<a/>"))

    assert found["/app/reports/junit.xml"] == b"<a/>"


@pytest.mark.parametrize(
    "adds",
    [
        [member("reports/zeros", content=b"\0" * (2 << 20))],
        [member(f"reports/{i}") for i in range(1001)],
        [member(f"reports/{i}", content=b"x" * 300_000) for i in range(4)],
        [member(f"reports/d{i}", tarfile.DIRTYPE) for i in range(1001)],
    ],
    ids=["one large", "many", "large together", "folders"],
)
def test_more_than_the_allowance_is_refused_by_name(adds: list[Add]) -> None:
    with pytest.raises(Unavailable, match="too much under /app/reports") as caught:
        read(*adds)

    assert caught.value.fault is Fault.ARTIFACTS


def test_what_a_head_announces_is_not_waited_for() -> None:
    """A file with holes, or a lie: the size alone is too much, whatever follows."""
    info = tarfile.TarInfo("reports/holes")
    info.size = 300 << 20
    head = info.tobuf(tarfile.PAX_FORMAT)
    given_out = 0

    def archive() -> Iterator[bytes]:
        nonlocal given_out
        yield head
        while given_out < 300:
            given_out += 1
            yield b"\0" * (1 << 20)

    with pytest.raises(Unavailable) as caught:
        list(files(archive, REPORTS, SMALL))

    assert caught.value.fault is Fault.ARTIFACTS
    assert given_out <= 1


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["pax", "gnu"])
def test_a_name_of_a_gigabyte_ends_at_the_allowance(kind: bytes) -> None:
    info = tarfile.TarInfo("reports/x")
    info.type, info.size = kind, 1 << 30
    head = info.tobuf(tarfile.GNU_FORMAT)
    allowance = Allowance(size_bytes=1 << 20, entries=100)

    def archive() -> Iterator[bytes]:
        yield head
        for _ in range(1024):
            yield b"9" * (1 << 20)

    tracemalloc.start()
    with pytest.raises(Unavailable) as caught:
        list(files(archive, REPORTS, allowance))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert caught.value.fault is Fault.ARTIFACTS
    assert most < 32 << 20


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.text(max_size=40).filter(lambda name: "\0" not in name),
            st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE]),
            st.text(max_size=20).filter(lambda name: "\0" not in name),
            st.binary(max_size=200),
        ),
        max_size=6,
    ),
    st.data(),
)
def test_any_archive_is_read_or_refused_in_our_words(
    entries: list[tuple[str, bytes, str, bytes]], data: st.DataObject
) -> None:
    whole = b"".join(chunks(*(member(n, k, link=link, content=c) for n, k, link, c in entries))())
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.binary(max_size=64)) + whole[at + 30 :]

    for archive in (whole, damaged, whole[:at]):
        with suppress(UnstaleError):
            for found in files(partial(_pieces, archive), REPORTS, SMALL):
                assert len(found.content) <= SMALL.size_bytes


# --- where it is written ---------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout" / ".unstale"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("mine")
    return folder


@pytest.mark.parametrize("depth", ["", "runs", "runs/r1", "runs/r1/coverage"])
def test_no_write_goes_through_a_link_to_a_folder(state: Path, outside: Path, depth: str) -> None:
    link = state / depth if depth else state
    if not depth:
        state.rmdir()
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    path = state / "runs" / "r1" / "coverage" / "x"

    for write in (DiskFiles().write_atomic, DiskFiles().append):
        with pytest.raises(Unavailable, match="is a link") as caught:
            write(path, "theirs")
        assert caught.value.fault is Fault.PERMISSION
    with pytest.raises(Unavailable), DiskFiles().locked(path):
        pass
    with pytest.raises(Unavailable):
        DiskFiles().link(path, outside)
    assert [one.name for one in outside.iterdir()] == ["file"]


def test_a_file_that_is_a_link_is_replaced_and_what_it_leads_to_stays(
    state: Path, outside: Path
) -> None:
    path = state / "receipts" / "latest.json"
    path.parent.mkdir()
    path.symlink_to(outside / "file")

    DiskFiles().write_atomic(path, "{}")

    assert (path.read_text(), path.is_symlink()) == ("{}", False)
    assert (outside / "file").read_text() == "mine"
    log = state / "runs" / "r1" / "logs" / "up.log"
    log.parent.mkdir(parents=True)
    log.symlink_to(outside / "file")
    with pytest.raises(Unavailable):
        DiskFiles().append(log, "theirs")
    assert (outside / "file").read_text() == "mine"


def test_a_pipe_or_a_folder_in_place_of_a_file_is_no_way_out_either(state: Path) -> None:
    (state / "runs" / "r1").mkdir(parents=True)
    os.mkfifo(state / "runs" / "r1" / "junit.xml")
    (state / "runs" / "r1" / "database.txt").mkdir()

    DiskFiles().write_atomic(state / "runs" / "r1" / "junit.xml", "<a/>")
    with pytest.raises(Unavailable):
        DiskFiles().write_atomic(state / "runs" / "r1" / "database.txt", "x")

    assert (state / "runs" / "r1" / "junit.xml").read_text() == "<a/>"


def test_what_a_run_leaves_is_for_its_owner_alone(state: Path) -> None:
    DiskFiles().write_atomic(state / "runs" / "r1" / "junit.xml", "<a/>")

    assert (state / "runs" / "r1").stat().st_mode & 0o777 == 0o700


def test_the_users_own_files_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")

    DiskFiles().write_atomic(tmp_path / "link", "new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_state_folder_with_a_planted_link_is_refused_at_once(state: Path, outside: Path) -> None:
    refuse_links(state)
    refuse_links(state / "none")
    (state / "stat").symlink_to(outside)
    with pytest.raises(Unavailable, match="stat is a link"):
        refuse_links(state)
    (state.parent / "b").symlink_to(state)
    with pytest.raises(Unavailable, match="b is a link"):
        refuse_links(state.parent / "b")
