"""Which files change, by watchfiles; it comes with the extra ``watch``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unstale.adapters.signals import Signals
from unstale.config import STATE_FOLDER
from unstale.errors import Fault, Unavailable, UsageError

if TYPE_CHECKING:
    from watchfiles import DefaultFilter

__all__ = ["changes"]

# An editor writes a file in several steps, and git a tree in a thousand.
_SETTLED_MS, _LONGEST_MS = 100, 1600
_SIGNALS_MS = 500


def changes(root: Path, signals: Signals) -> Iterator[frozenset[str]]:
    """Yield what changes below *root*, as paths relative to it.

    The first is empty: from then on nothing is missed. While nothing changes, more of
    them are.

    Raises:
        UsageError: watchfiles is not installed.
        Unavailable: the machine watches no more files.
        Interrupted: a signal came while nothing changed.

    """
    try:
        from watchfiles import watch
    except ImportError as error:
        raise UsageError(
            "watch needs the package watchfiles.",
            cause="It is not installed here: it comes with the extra `watch`.",
            hint="pip install 'unstale[watch]' (uv add --dev 'unstale[watch]')",
            fault=Fault.CONFIGURATION,
        ) from error
    found = watch(
        root,
        watch_filter=_filter(),
        debounce=_LONGEST_MS,
        step=_SETTLED_MS,
        rust_timeout=_SIGNALS_MS,
        yield_on_timeout=True,
    )
    try:
        for several in found:
            yield frozenset(os.path.relpath(path, root) for _, path in several)
    except KeyboardInterrupt:
        # Whatever a handler raises is that, in there.
        raise signals.stopped or KeyboardInterrupt from None
    except (OSError, RuntimeError) as error:
        raise Unavailable(
            "The files of this project can't be watched.",
            cause=f"{error}.",
            hint="sysctl fs.inotify.max_user_watches; or WATCHFILES_FORCE_POLLING=1 and again",
            fault=Fault.RESOURCES,
        ) from error


def _filter() -> DefaultFilter:
    """What nobody reads: caches, editors' own files, and what unstale writes."""
    from watchfiles import DefaultFilter

    return DefaultFilter(ignore_dirs=(*DefaultFilter.ignore_dirs, STATE_FOLDER, ".ruff_cache"))
