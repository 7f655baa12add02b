"""Outside commands, each in a session of its own that never outlives its call.

The one gateway: whatever unstale runs goes through here, or through the launcher.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from unstale.adapters.output import MOST_BYTES, Output, TooMuch
from unstale.errors import NotDone, TimedOut, Unavailable, UsageError
from unstale.mask import Mask
from unstale.ports import Command, CommandResult, Line

__all__ = ["SystemProcess", "as_typed"]

_CHUNK = 65536
_PATIENCE_S = 1.5  # between SIGTERM and SIGKILL
_POLL_S = 0.1  # how soon the end of a command is seen whose child holds a pipe
_DRAIN_S = 0.5  # for what such a child still writes
_TAIL = 8192
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
_MARK = "UNSTALE_STARTED_BY"


def as_typed(argv: Sequence[str]) -> str:
    """*argv* as one would type it in a shell; it moves no cursor and opens no line."""
    return " ".join(
        shlex.quote(word) if word.isprintable() else f"$'{_escaped(word)}'" for word in argv
    )


def _escaped(word: str) -> str:
    kept = (c if c.isprintable() and c not in "'\\" else None for c in word)
    return "".join(
        c or "".join(f"\\x{byte:02x}" for byte in os.fsencode(raw))
        for c, raw in zip(kept, word, strict=True)
    )


class SystemProcess:
    """The `Process` of this machine.

    Output is read in the caller's thread: whatever ``on_line`` or a signal
    handler raises leaves `run` at once, after the group was ended. *echo* is told
    each command, masked, before it is run. *dry*: what would change something is
    not run.
    """

    def __init__(self, *, dry: bool = False, echo: Line | None = None) -> None:
        self.is_dry = dry
        self.hide = Mask()
        """Hides secrets in what is told of commands."""
        self.noted: Line | None = None
        """Is told each command and how it ended, for the log of a step."""
        self._echo = echo

    def run(self, command: Command, on_line: Line | None = None) -> CommandResult:
        """Run *command* to its end."""
        self._announce(command)
        if command.interactive:
            return _lend_terminal(command)
        with _Child(command) as child:
            return self._result(child, on_line)

    @contextlib.contextmanager
    def started(self, command: Command) -> Iterator[Callable[[], CommandResult]]:
        """Run *command* while the block goes on.

        What it writes waits in its pipes, so no thread is needed.
        """
        self._announce(command)
        with _Child(command) as child:
            yield lambda: self._result(child, None)

    def stream(self, command: Command) -> Iterator[bytes]:
        """Yield the command's standard output in chunks."""
        self._announce(command)
        tail = b""
        with _Child(command) as child:
            for source, chunk in child.chunks():
                if source == "stdout":
                    yield chunk
                else:
                    tail = (tail + chunk)[-_TAIL:]
            code = child.wait()
        if code != 0:
            words = [line for line in tail.decode(errors="replace").splitlines() if line.strip()]
            raise Unavailable(
                f"`{_name(command)}` failed with exit code {code}.",
                cause=words[-1].strip() if words else "",
            )

    def announce(self, argv: Sequence[str], *, changes: bool) -> None:
        """Tell that a command is about to be run.

        Raises:
            NotDone: it changes something, and this is a dry run.

        """
        is_refused = changes and self.is_dry
        if not (is_refused or self._echo or self.noted):
            return
        # Each word by itself, too: a quote may stand in the midst of a secret.
        words = self.hide(as_typed([self.hide(word) for word in argv]))
        if is_refused:
            raise NotDone(f"would run: {words}")
        if self.noted is not None:
            self.noted(f"$ {words}")
        if self._echo is not None:
            self._echo(words)

    def _announce(self, command: Command) -> None:
        self.announce(command.argv, changes=command.changes)

    def _result(self, child: _Child, on_line: Line | None) -> CommandResult:
        tail = child.command.tail_bytes
        outputs = {name: Output(on_line, tail, self.hide) for name in ("stdout", "stderr")}
        try:
            for source, chunk in child.chunks():
                outputs[source].feed(chunk)
        except TooMuch:
            raise Unavailable(
                f"`{_name(child.command)}` answered more than {MOST_BYTES >> 20} MiB.",
                cause="No answer is that long: that program is damaged, or another one.",
                hint=f"which {Path(child.command.argv[0]).name}",
            ) from None
        for output in outputs.values():
            output.close()
        code = child.wait()
        if self.noted is not None:
            self.noted(f"# ended with {code} after {child.seconds:.1f} s")
        return CommandResult(code, outputs["stdout"].text, outputs["stderr"].text, child.seconds)


class _Child:
    """A command that runs; leaving the block ends all of its process group."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._mark = os.urandom(8).hex()
        self._began = time.monotonic()
        self._deadline = self._began + command.deadline_s

    def __enter__(self) -> Self:
        try:
            with _signals_later():
                self._process = _start(self.command, self._mark)
        except BaseException:
            # A signal that came meanwhile is raised with the process started.
            if hasattr(self, "_process"):
                self.__exit__(KeyboardInterrupt, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Who was cut off may have left children in sessions of their own.
        was_cut_off = kind is not None and kind is not GeneratorExit
        _end_group(self._process, self._mark if was_cut_off else "")
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def chunks(self) -> Iterator[tuple[str, bytes]]:
        """What both outputs carry, as it comes, while standard input is fed."""
        with selectors.DefaultSelector() as selector:
            self._register(selector)
            drained_at: float | None = None
            while any(key.data[0] != "stdin" for key in selector.get_map().values()):
                events = selector.select(min(_POLL_S, self._remaining()))
                for key, _ in events:
                    name, rest = key.data
                    if name == "stdin":
                        self._feed(selector, key.fd, rest)
                        continue
                    chunk = os.read(key.fd, _CHUNK)
                    if chunk:
                        yield name, chunk
                    else:
                        selector.unregister(key.fd)
                # The command ended, but a child of it keeps a pipe open.
                if self._process.poll() is not None:
                    drained_at = drained_at or time.monotonic() + _DRAIN_S
                    if time.monotonic() > drained_at and not events:
                        return

    @property
    def seconds(self) -> float:
        """Since it was asked for."""
        return time.monotonic() - self._began

    def wait(self) -> int:
        """The exit code."""
        try:
            return self._process.wait(self._remaining())
        except subprocess.TimeoutExpired:
            raise self._timed_out() from None

    def _register(self, selector: selectors.BaseSelector) -> None:
        pipes = {"stdout": self._process.stdout, "stderr": self._process.stderr}
        for name, pipe in pipes.items():
            selector.register(_fileno(pipe), selectors.EVENT_READ, (name, memoryview(b"")))
        if self._process.stdin is not None:
            descriptor = _fileno(self._process.stdin)
            os.set_blocking(descriptor, False)
            rest = memoryview(self.command.stdin)
            selector.register(descriptor, selectors.EVENT_WRITE, ("stdin", rest))

    def _feed(self, selector: selectors.BaseSelector, descriptor: int, rest: memoryview) -> None:
        try:
            rest = rest[os.write(descriptor, rest[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # a command need not read all that it is given
            rest = rest[:0]
        if rest:
            selector.modify(descriptor, selectors.EVENT_WRITE, ("stdin", rest))
            return
        selector.unregister(descriptor)
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise self._timed_out()
        return remaining

    def _timed_out(self) -> TimedOut:
        return _timed_out(self.command)


def _timed_out(command: Command) -> TimedOut:
    return TimedOut(
        f"`{_name(command)}` did not end within {command.deadline_s:g} s.",
        cause="It and everything it started were ended.",
        hint="give it more time, or see what it waits for",
    )


def _fileno(pipe: IO[bytes] | None) -> int:
    if pipe is None:
        raise AssertionError("both outputs are pipes")
    return pipe.fileno()


def _name(command: Command) -> str:
    program, *rest = command.argv[:2]
    return " ".join((Path(program).name, *rest))


def _environment(command: Command, mark: str) -> dict[str, str]:
    environment = {**(os.environ if command.inherits else {}), **command.env}
    if command.inherits:
        # With those of the commands that we are started by: they look for us, too.
        environment[_MARK] = f"{environment.get(_MARK, '')} {mark}".strip()
    for name in command.unset:
        environment.pop(name, None)
    return environment


def _start(command: Command, mark: str) -> subprocess.Popen[bytes]:
    output = None if command.interactive else subprocess.PIPE
    stdin = None if command.interactive else subprocess.DEVNULL
    with _start_errors(command):
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.PIPE if command.stdin else stdin,
            stdout=output,
            stderr=output,
            bufsize=0,
            cwd=command.cwd,
            env=_environment(command, mark),
            # A terminal belongs to one session: an interactive command stays in it.
            start_new_session=not command.interactive,
        )


@contextlib.contextmanager
def _start_errors(command: Command) -> Iterator[None]:
    program = command.argv[0]
    try:
        yield
    except OSError as error:
        if command.cwd is not None and not command.cwd.is_dir():
            raise Unavailable(f"There is no folder {command.cwd} to run {program} in.") from error
        if isinstance(error, FileNotFoundError):
            raise Unavailable(
                f"There is no program called {program}.",
                cause="It is not on the PATH.",
                hint=f"install {Path(program).name}, or correct PATH",
            ) from error
        raise Unavailable(
            f"{program} could not be started.", cause=error.strerror or str(error)
        ) from error
    except ValueError as error:
        raise UsageError(
            f"A word for {Path(program).name} has a zero byte in it, which no command can have.",
            cause="It is an argument, or the value of a variable.",
            hint="look for it in what was typed, and in the env files",
        ) from error


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """Raise a signal that comes within the block after it.

    An exception out of a handler in the midst of Popen would lose the new
    process. Handlers, unlike blocked or ignored signals, are not inherited.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    before = {n: signal.signal(n, note) for n in _SIGNALS if callable(signal.getsignal(n))}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for late in seen:
        signal.raise_signal(late)


def _end_group(process: subprocess.Popen[bytes], mark: str) -> None:
    """SIGTERM, patience, SIGKILL to the group; quick if it is gone already.

    With *mark*, to whatever else of the command is alive, too.
    """
    try:
        if _signal_all(process, mark, signal.SIGTERM):
            end = time.monotonic() + _PATIENCE_S
            while time.monotonic() < end:
                process.poll()  # a leader nobody waited for still counts as alive
                if not _signal_all(process, mark, 0):
                    return
                time.sleep(0.02)
    finally:
        # Again and again, for what was forked while the others were being killed.
        end = time.monotonic() + _PATIENCE_S
        while _signal_all(process, mark, signal.SIGKILL) and time.monotonic() < end:
            process.poll()
            time.sleep(0.005)
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel holds on to it
            process.wait(_PATIENCE_S)


def _signal_all(process: subprocess.Popen[bytes], mark: str, number: int) -> bool:
    """Signal the group that *process* leads and what carries *mark*; tell whether there is one."""
    found = _signal_group(process, number)
    for pid in _marked(mark) if mark else ():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) != process.pid:
                os.kill(pid, number)
                found = True
    return found


def _marked(mark: str) -> tuple[int, ...]:
    """The processes whose environment carries *mark*; none where there is no ``/proc``."""
    found = []
    for folder in Path("/proc").glob("[1-9]*"):
        # Another user's can't be read, and one that ended has none.
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return tuple(found)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Signal the group that *process* leads; tell whether there is one."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        # macOS: "not permitted" where only zombies are left.
        return False
    return True


def _lend_terminal(command: Command) -> CommandResult:
    """Run a command on our terminal; Ctrl-C is the command's, not ours."""
    started = time.monotonic()
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if is_main:
        # A handler rather than SIG_IGN, which the command would inherit.
        signal.signal(signal.SIGINT, lambda *_: None)
    try:
        process = _start(command, os.urandom(8).hex())
        try:
            code = process.wait(command.deadline_s)
        except subprocess.TimeoutExpired:
            raise _timed_out(command) from None
        finally:
            _end_one(process)
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
    return CommandResult(code, "", "", time.monotonic() - started)


def _end_one(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    try:
        process.terminate()
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()
