"""Standard input and outputs that may be closed, full or read by nobody.

A reader that has seen enough (``| head -1``) decides nothing: what else is written is
dropped, and the exit code is the verdict's. A report that can't be written to a full
disk is a failure of its own.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from unstale.errors import Fault, Unavailable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["guard"]


class _Outlet(io.FileIO):
    """A descriptor to write to, which is given up once it can't be written."""

    def __init__(self, descriptor: int, *, is_report: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._is_report = is_report
        self._is_lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write *data*.

        Raises:
            Unavailable: the report can't be written; once.

        """
        size = memoryview(data).nbytes
        if self._is_lost:
            return size
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            self._is_lost = True
        except OSError as error:
            self._is_lost = True
            if self._is_report:
                raise Unavailable(
                    "The report can't be written to the standard output.",
                    cause=f"{error.strerror}.",
                    hint="df -h; or send it to another place",
                    fault=Fault.RESOURCES,
                ) from error
        return size


def guard() -> None:
    """Let the standard streams of this process be usable, whatever it was given."""
    for descriptor in range(3):
        _require_open(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the rest of the process
    sys.stdout = _guarded(sys.stdout, 1, is_report=True)
    sys.stderr = _guarded(sys.stderr, 2, is_report=False)


def _require_open(descriptor: int) -> None:
    """Whatever is opened next would get a number that is free, and be written to."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)


def _guarded(stream: TextIO | None, descriptor: int, *, is_report: bool) -> TextIO:
    if stream is not None and not _is_plain(stream, descriptor):
        return stream
    if stream is not None:
        stream.flush()
    # Foreign text may have what the user's locale has not; it is no reason to fail.
    is_strict = stream is not None and stream.errors == "strict"
    is_buffered = is_report and not os.isatty(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlet(descriptor, is_report=is_report)),
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace" if stream is None or is_strict else stream.errors,
        line_buffering=not is_buffered,
    )


def _is_plain(stream: TextIO, descriptor: int) -> bool:
    """Whether *stream* is Python's own, and nobody's in its place."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # PYTHONUNBUFFERED: there is no buffer
    return type(raw) is io.FileIO and raw.fileno() == descriptor
