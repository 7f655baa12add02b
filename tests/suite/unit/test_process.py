"""How output becomes lines, and what a command inherits."""

from __future__ import annotations

import sys

import pytest

from unstale.adapters.process import SystemProcess
from unstale.errors import Unavailable
from unstale.ports import Command


def python(code: str, *, stdin: bytes = b"", **env: str) -> Command:
    return Command((sys.executable, "-c", code), deadline_s=30, stdin=stdin, env=env)


def lines_of(command: Command) -> list[str]:
    lines: list[str] = []
    SystemProcess().run(command, lines.append)
    return lines


def test_lines_lose_their_ends_and_the_last_needs_none() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'one\r\n\ntwo \xff\nlast')"
    assert lines_of(python(code)) == ["one", "", "two �", "last"]


def test_a_character_cut_by_a_read_stays_whole() -> None:
    code = (
        r"import sys, time; out = sys.stdout.buffer; out.write(b'caf\xc3'); out.flush();"
        r"time.sleep(0.3); out.write(b'\xa9\n')"
    )
    assert lines_of(python(code)) == ["café"]


def test_the_result_keeps_both_outputs_apart() -> None:
    result = SystemProcess().run(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    )
    assert (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_a_megabyte_of_input_comes_back() -> None:
    text = b"0123456789abcdef" * 65536
    result = SystemProcess().run(
        python("import sys; sys.stdout.write(sys.stdin.read())", stdin=text)
    )
    assert result.stdout.encode() == text


def test_input_that_is_not_read_is_no_error() -> None:
    assert SystemProcess().run(python("pass", stdin=b"x" * 1_000_000)).returncode == 0


def test_without_input_a_command_reads_end_of_file() -> None:
    assert lines_of(python("import sys; print(repr(sys.stdin.read()))")) == ["''"]


def test_env_is_laid_over_and_unset_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSTALE_TEST_KEPT", "kept")
    monkeypatch.setenv("UNSTALE_TEST_GONE", "gone")
    code = "import os; print(*(os.environ.get('UNSTALE_TEST_' + k) for k in ('KEPT','GONE','NEW')))"
    command = Command(
        (sys.executable, "-c", code),
        deadline_s=30,
        env={"UNSTALE_TEST_NEW": "new"},
        unset=("UNSTALE_TEST_GONE",),
    )
    assert lines_of(command) == ["kept None new"]


def test_a_missing_program_is_named_with_what_to_do() -> None:
    with pytest.raises(Unavailable) as caught:
        SystemProcess().run(Command(("no-such-program-here",), deadline_s=5))
    assert "no-such-program-here" in caught.value.what
    assert "install" in caught.value.hint


def test_a_stream_that_fails_tells_its_last_error_line() -> None:
    code = "import sys; print('data'); sys.stderr.write('first\\nthe reason\\n'); sys.exit(7)"
    chunks: list[bytes] = []
    with pytest.raises(Unavailable) as caught:
        chunks.extend(SystemProcess().stream(python(code)))
    assert b"".join(chunks) == b"data\n"
    assert caught.value.cause == "the reason"
    assert "7" in caught.value.what
