"""Who listens on a port: of this machine, and of one that is made of files."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from unstale.adapters.listeners import Listener, listener

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc elsewhere")

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid inode\n"
LINE = "   0: 0100007F:{port:04X} 00000000:0000 {state} 0:0 00:00000000 0 0 0 {inode} 1\n"


def test_this_process_is_found_by_the_port_that_it_listens_on() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        before = listener(port)
        server.listen()
        found = listener(port)

    assert before is None
    assert found is not None
    assert found.pid == os.getpid()
    assert found.program


def proc(root: Path, state: str = "0A", table: str = "tcp") -> Path:
    (root / "net").mkdir()
    (root / "net" / table).write_text(HEAD + LINE.format(port=8000, state=state, inode=77))
    return root


def test_a_container_is_told_by_its_id(tmp_path: Path) -> None:
    root, container = proc(tmp_path), "ab" * 32
    (root / "12/fd").mkdir(parents=True)
    (root / "12/fd/3").symlink_to("socket:[77]")
    (root / "12/comm").write_text("python\n")
    (root / "12/cgroup").write_text(f"0::/docker/{container}\n")

    assert listener(8000, root) == Listener(12, "python", container)
    assert listener(8001, root) is None


@pytest.mark.parametrize("table", ["tcp", "tcp6"])
def test_a_process_that_may_not_be_looked_into_has_no_name(tmp_path: Path, table: str) -> None:
    assert listener(8000, proc(tmp_path, table=table)) == Listener(0, "", "")


def test_a_connection_is_no_listener(tmp_path: Path) -> None:
    assert listener(8000, proc(tmp_path, state="01")) is None
