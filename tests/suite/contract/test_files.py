"""What DiskFiles does on a real disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from unstale.adapters.files import DiskFiles
from unstale.errors import ConfigError, MissingFile, Unavailable


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9\r\n")
    assert DiskFiles().read_text(tmp_path / "a") == "café\r\n"


def test_a_missing_file_and_a_folder_differ(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="none"):
        DiskFiles().read_text(tmp_path / "none")
    with pytest.raises(ConfigError):
        DiskFiles().read_text(tmp_path)


def test_bytes_that_are_no_text_are_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hunter\xff")
    with pytest.raises(ConfigError) as caught:
        DiskFiles().read_text(tmp_path / "a")
    assert "Byte 6" in caught.value.cause
    assert "hunter" not in str(caught.value)


def test_a_write_makes_parents_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file"
    for text in ("first\n", "sécond\r\n"):
        DiskFiles().write_atomic(path, text)
        assert path.read_bytes() == text.encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    DiskFiles().write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        DiskFiles().write_atomic(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_glob_finds_files_sorted(tmp_path: Path) -> None:
    for name in ("b.env", "a.env"):
        (tmp_path / name).touch()
    (tmp_path / "c.env").mkdir()
    found = DiskFiles().glob(tmp_path, "*.env")
    assert [path.name for path in found] == ["a.env", "b.env"]


def test_bytes_that_are_no_text_survive_a_write(tmp_path: Path) -> None:
    path = tmp_path / "file"
    DiskFiles().write_atomic(path, b"COPY \xff /x\n".decode(errors="surrogateescape"))

    assert path.read_bytes() == b"COPY \xff /x\n"


def test_an_append_makes_parents_and_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file"
    DiskFiles().append(path, "one\n")
    inode = path.stat().st_ino
    DiskFiles().append(path, "zwö\r\n")

    assert path.read_bytes() == "one\nzwö\r\n".encode()
    assert path.stat().st_ino == inode


def test_a_link_makes_parents_and_leads_to_its_target(tmp_path: Path) -> None:
    path, target = tmp_path / "deep" / "er" / "link", tmp_path / "target"
    target.mkdir()
    DiskFiles().link(path, target)

    assert path.is_symlink()
    assert path.readlink() == target


def test_a_link_takes_the_place_of_an_earlier_one_and_not_of_its_target(tmp_path: Path) -> None:
    path = tmp_path / "link"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        DiskFiles().link(path, tmp_path / name)

    assert path.readlink() == tmp_path / "two"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "one", "two"]
    assert list((tmp_path / "one").iterdir()) == []


def test_a_link_may_lead_to_what_is_not_there(tmp_path: Path) -> None:
    DiskFiles().link(tmp_path / "link", tmp_path / "none")

    assert (tmp_path / "link").is_symlink()
    assert not DiskFiles().exists(tmp_path / "link")


def test_removing_takes_the_link_and_not_its_target_and_may_be_done_twice(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    DiskFiles().link(tmp_path / "link", tmp_path / "target")

    DiskFiles().remove(tmp_path / "link")
    DiskFiles().remove(tmp_path / "link")

    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "kept"


def test_a_file_that_is_written_anew_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    secret, link = tmp_path / "real.env", tmp_path / ".env"
    secret.write_text("A=1\n")
    secret.chmod(0o600)
    link.symlink_to(secret.name)

    DiskFiles().write_atomic(link, "A=2\n")

    assert link.is_symlink()
    assert secret.read_text() == "A=2\n"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_the_end_of_a_file_is_read_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    assert DiskFiles().end_of(path, 4) == (b"6789", 10)
    assert DiskFiles().end_of(path, 100) == (b"0123456789", 10)


def test_the_end_of_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    runs = tmp_path / ".unstale" / "runs"
    runs.mkdir(parents=True)
    (runs / "link").symlink_to(secret)
    (runs / "folder").symlink_to(tmp_path)
    os.mkfifo(runs / "pipe")

    names = ("link", "folder/secret", "pipe", "none", "../runs")
    assert [DiskFiles().end_of(runs / name, 9) for name in names] == [None] * 5


def test_a_name_with_a_nul_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="can't be written"):
        DiskFiles().write_atomic(tmp_path / "a\0b", "")
