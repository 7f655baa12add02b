"""JSON that may be damaged, or somebody else's."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["read_json"]


def read_json(text: str) -> Any:  # noqa: ANN401 (JSON is of any shape)
    """What *text* says, or None if it is no JSON, or nested too deeply to be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
