"""The first moments of the ``unstale`` command: no task has set its handlers yet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_SLOW = "import sys, time; print('importing', flush=True); time.sleep(30)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True], ids=["", "ignored by the parent"])
def test_a_signal_ends_it_without_a_word(
    number: signal.Signals, ignored: bool, tmp_path: Path
) -> None:
    (tmp_path / "invoke.py").write_text(_SLOW)
    before = signal.signal(number, signal.SIG_IGN if ignored else signal.getsignal(number))
    try:
        process = subprocess.Popen(
            (sys.executable, "-c", "from unstale.__main__ import main; main()", "--list"),
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(number, before)
    assert process.stdout
    assert process.stdout.readline() == "importing\n"

    process.send_signal(number)
    _, said = process.communicate(timeout=20)

    assert (process.returncode, said) == (-number, "")
