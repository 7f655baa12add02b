"""Reads the ledger of builds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from unstale.facts import BuildRecord, moment
from unstale.jsontext import read_json

__all__ = ["parse_records"]


def parse_records(text: str) -> tuple[BuildRecord, ...]:
    """The ledger of builds: one JSON object a line, keys as in `BuildRecord`.

    A line that can't be read is passed over: a writer may have died in its
    midst, and the ledger explains, it never proves.
    """
    found: list[BuildRecord] = []
    for line in text.splitlines():
        with suppress(ValueError, TypeError, KeyError):
            found.append(_parse_record(read_json(line)))
    return tuple(found)


def _parse_record(raw: Mapping[str, object]) -> BuildRecord:
    return BuildRecord(
        service=str(raw["service"]),
        image_id=str(raw["image_id"]),
        inputs=str(raw.get("inputs", "")),
        revision=str(raw.get("revision", "")),
        dirty=None if raw.get("dirty") is None else bool(raw["dirty"]),
        built_at=moment(str(raw["built_at"])),
    )
