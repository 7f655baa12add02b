"""A run as it goes on, drawn on a terminal.

Each frame is one write that ends on a fresh line, and the cursor is never hidden: whatever
ends the process, the terminal is as a shell wants it.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from unstale.errors import Outcome
from unstale.pipeline.history import Timing
from unstale.pipeline.site import StepResult
from unstale.render.terminal import Look, Span, columns, fit, marks, screen, size

__all__ = ["Live", "Picture", "change", "drawn", "rows"]

_TICK_S = 0.12
_LULL_S = 0.03  # events that come sooner after each other are drawn together
_PATIENCE_S = 2.0  # with a terminal that takes no more
_BACKLOG = 20_000  # in lines
_LEAST_CHANGE_S = 0.05


@dataclass(frozen=True, slots=True)
class Picture:
    """What there is to draw."""

    planned: tuple[str, ...] = ()
    timings: Mapping[str, Timing] = field(default_factory=dict)
    began: float = 0.0
    done: tuple[StepResult, ...] = ()
    current: str = ""
    since: float = 0.0

    @property
    def coming(self) -> tuple[str, ...]:
        """The steps that are still to come; after a red one only the last."""
        names = {result.name for result in self.done} | {self.current}
        is_red = any(not result.is_green for result in self.done)
        return tuple(n for n in (self.planned[-1:] if is_red else self.planned) if n not in names)

    def begin(self, step: str, now: float) -> Picture:
        """The picture when *step* begins."""
        return replace(self, current=step, since=now)

    def end(self, result: StepResult) -> Picture:
        """The picture when a step has ended."""
        return replace(self, done=(*self.done, result), current="")


def change(seconds: float, last_s: float | None) -> str:
    """How much longer something took than the last time; empty if that is not known."""
    if last_s is None:
        return ""
    return f"{seconds - last_s:+.1f}" if abs(seconds - last_s) >= _LEAST_CHANGE_S else "="


def rows(picture: Picture, now: float, last: str, look: Look, height: int) -> list[list[Span]]:
    """The lines of the table at *now*, no more than *height*; *last* is what was said last."""
    room = max(3, height)
    busy = _busy(picture, now, last, look) if picture.current else []
    foot = [_foot(picture, now)] if len(picture.planned) > 1 else []
    done = [_done(one, picture.timings, look) for one in picture.done]
    coming = [_coming(name, picture.timings.get(name)) for name in picture.coming]
    coming = coming[: max(0, room - len(busy) - len(foot) - len(done))]
    room -= len(busy) + len(foot) + len(coming)
    return [*(done[-room:] if room > 0 else []), *busy, *coming, *foot]


def _done(result: StepResult, timings: Mapping[str, Timing], look: Look) -> list[Span]:
    timing, has_past = timings.get(result.name), bool(timings)
    is_green = result.outcome is Outcome.PROVEN
    style = "good" if is_green else "bad"
    last_s = timing.last_s if timing and is_green else None
    signs = marks(look)
    return [
        (signs.good if is_green else signs.bad, style),
        (f" {result.name:<17}", "" if is_green else style),
        (f"{result.seconds:7.1f} s", ""),
        (f"{change(result.seconds, last_s):>7}  " if has_past else "  ", "faint"),
        (result.detail.partition("\n")[0], "" if is_green else style),
    ]


def _busy(picture: Picture, now: float, last: str, look: Look) -> list[list[Span]]:
    turns = marks(look).turns
    timing = picture.timings.get(picture.current)
    first: list[Span] = [
        (turns[int(now / _TICK_S) % len(turns)], "busy"),
        (f" {picture.current:<17}", "strong"),
        (f"{now - picture.since:7.1f} s", ""),
        (f"  of about {timing.expected_s:.1f} s" if timing else "", "faint"),
    ]
    return [first, [("    ", ""), (last, "faint")]]


def _coming(name: str, timing: Timing | None) -> list[Span]:
    return [(f"  {name:<17}{timing.expected_s:7.1f} s" if timing else f"  {name}", "faint")]


def _foot(picture: Picture, now: float) -> list[Span]:
    text = f"  {len(picture.done)} of {len(picture.planned)} steps, {now - picture.began:.0f} s"
    expected = _expected(picture, now)
    return [(text if expected is None else f"{text} of about {expected:.0f} s", "faint")]


def _expected(picture: Picture, now: float) -> float | None:
    """How long all of it takes; None where that is not known of each step that is left."""
    left = [name for name in (picture.current, *picture.coming) if name]
    known = [picture.timings[name].expected_s for name in left if name in picture.timings]
    if len(known) < len(left) or any(not one.is_green for one in picture.done):
        return None
    spent = min(now - picture.since, known[0]) if picture.current else 0.0
    return now - picture.began + sum(known) - spent


class Live:
    """Draws from a thread of its own, so that the run waits for no terminal.

    What the run calls is one step of the interpreter and takes no lock: a signal that
    comes into it leaves nothing half done.
    """

    def __init__(self, descriptor: int, look: Look) -> None:
        self.last = ""
        """What the step that goes on has said last."""
        self.stays = True
        """Whether the table is left there at the end."""
        self._descriptor = descriptor
        self._look = look
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._picture = Picture()
        self._above: list[str] = []
        self._old: list[str] = []
        self._old_columns: list[int] = []
        self._width = 0
        self._left_out = 0
        self._is_mute = False
        self._is_over = False
        self._thread = threading.Thread(target=self._draw, name="unstale-live", daemon=True)

    # --- what the run says; nothing of it touches what the thread has

    def start(self, planned: Sequence[str], timings: Mapping[str, Timing]) -> None:
        """A new table, of *planned* steps; the one before stays above it."""
        now = time.monotonic()
        self._events.put(lambda: self._begin_table(Picture(tuple(planned), dict(timings), now)))

    def expect(self, timings: Mapping[str, Timing]) -> None:
        """Expect something else of the steps from here on."""
        self._events.put(lambda: self._show(replace(self._picture, timings=dict(timings))))

    def begin(self, step: str) -> None:
        """A step begins."""
        self.last = ""
        now = time.monotonic()
        self._events.put(lambda: self._show(self._picture.begin(step, now)))

    def end(self, result: StepResult) -> None:
        """A step has ended."""
        self._events.put(lambda: self._show(self._picture.end(result)))

    def print(self, text: str) -> None:
        """A line that stays, above the table; left out where the terminal takes no more."""
        if not self._has_room():
            self._left_out += 1
            return
        if self._left_out:
            text = f"... {self._left_out} are left out here, the log has them\n{text}"
            self._left_out = 0
        self._events.put(lambda: self._above.extend(text.split("\n")))

    def _has_room(self) -> bool:
        """Whether the thread keeps up; waited for once, and not again at each line."""
        end = time.monotonic() + _PATIENCE_S
        while self._events.qsize() > _BACKLOG:
            # Of a terminal that was stopped, by Ctrl-S say, it is within a write.
            if self._left_out or self._is_mute or time.monotonic() > end:
                return False
            if not self._thread.is_alive():
                return False
            time.sleep(_LULL_S)
        return True

    # --- its beginning and end

    def run(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def mute(self) -> None:
        """Draw nothing more, from this moment."""
        self._is_mute = True

    def stop(self) -> None:
        """Draw for the last time: the steps that are done, unless a report has them."""
        self._events.put(self._end)
        self._thread.join(_PATIENCE_S)

    # --- what the thread does

    def _show(self, picture: Picture) -> None:
        self._picture = picture

    def _begin_table(self, picture: Picture) -> None:
        self._leave_table()
        self._picture = picture

    def _leave_table(self) -> None:
        width, _ = size(self._descriptor)
        for one in rows(replace(self._picture, planned=()), 0.0, "", self._look, 1 << 16):
            self._above.append(fit(one, width - 1, self._look))
        self._picture = Picture()

    def _end(self) -> None:
        self._picture = replace(self._picture, current="")
        if self.stays:
            self._leave_table()
        self._picture = Picture()
        self._is_over = True

    def _draw(self) -> None:
        while not self._is_over:
            until = time.monotonic() + _TICK_S
            with suppress(Empty):
                self._events.get(timeout=_TICK_S)()
                while time.monotonic() < until:  # a flood is drawn, too
                    self._events.get_nowait()()
            self._write(self._frame())
            if not self._is_over:
                time.sleep(_LULL_S)

    def _frame(self) -> str:
        width, height = size(self._descriptor)
        now = time.monotonic()
        spans = rows(self._picture, now, self.last, self._look, height - 1)
        new = [fit(one, width - 1, self._look) for one in spans]
        above, self._above = self._above, []
        up = self._rows_above(width)
        is_same_place = not above and width == self._width
        kept = self._old if is_same_place else []
        self._old, self._width = new, width
        bare = Look(encoding=self._look.encoding)
        self._old_columns = [columns(fit(one, width - 1, bare)) for one in spans]
        if is_same_place and kept == new:
            return ""
        return frame(above, kept, new, up)

    def _rows_above(self, width: int) -> int:
        """How many lines of the terminal the last frame takes at this *width*."""
        return sum(max(1, -(-taken // width)) for taken in self._old_columns)

    def _write(self, text: str) -> None:
        data = text.encode(self._look.encoding, "backslashreplace")
        end = time.monotonic() + _PATIENCE_S
        while data and not self._is_mute and time.monotonic() < end:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [], _TICK_S)
            except OSError:  # nobody is there any more; the run is
                self._is_mute = True


def frame(above: Sequence[str], old: Sequence[str], new: Sequence[str], up: int) -> str:
    """What turns a table of *up* lines into *above* and the lines *new* of the table.

    Of *old*, the lines that are there, those that stay are not written again.
    """
    lines = [
        "" if index < len(old) and old[index] == line else f"{line}\x1b[K"
        for index, line in enumerate(new)
    ]
    texts = [f"{line}\x1b[K" for line in above] + lines
    return "".join(("\r", f"\x1b[{up}A" if up else "", *(f"{t}\n" for t in texts), "\x1b[J"))


@contextmanager
def drawn(live: Live, held: Callable[[], AbstractContextManager[None]]) -> Iterator[Live]:
    """Draw *live* for the length of a block, and leave the terminal as it was.

    *held* lets the end go on whatever signal comes.
    """

    def settle() -> None:
        if screen.above is not None:
            screen.above = None
            live.stop()

    try:
        with held():
            screen.above, screen.mute, screen.settle = live.print, live.mute, settle
            live.run()
        yield live
    finally:
        with held():
            settle()
