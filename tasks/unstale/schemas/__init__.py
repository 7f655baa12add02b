"""JSON Schemas of all that tasks print with ``--json``, and of receipts.

``python -m unstale.schemas`` lists them, and prints the one that is named.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["names", "text"]


def names() -> tuple[str, ...]:
    """The documents that are described: ``run`` stands for ``unstale/run@1``."""
    found = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in found if name.endswith(".json")))


def text(name: str) -> str:
    """The schema of the document called *name*.

    Raises:
        KeyError: there is none.

    """
    if name not in names():
        raise KeyError(name)
    return files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
