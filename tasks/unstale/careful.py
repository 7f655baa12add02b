"""How a command begins that may look at a checkout of anybody: it runs nothing of it."""

from __future__ import annotations

import os

__all__ = ["only_look"]


def only_look() -> None:
    """Trust no code of the checkout, unless the user says so; start no program from it."""
    os.environ.setdefault("UNSTALE_TRUST", "0")
    # A relative entry would be looked for there.
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(f for f in folders if f.startswith(os.sep))
