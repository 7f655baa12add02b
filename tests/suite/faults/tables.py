"""Tables of what the ledger knows, for the screen and docs/reliability.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from kills import SIGNALS, Kill

_HEAD = (
    "who",
    "signal",
    "n",
    "leaky",
    "containers / networks / volumes left",
    "wrong code",
    "of these 0",
    "clients live on",
    "gone, median / max s",
    "empty, median / max s",
)


def kill_table(kills: Iterable[Kill]) -> list[str]:
    """One row a victim and signal, as Markdown."""
    found: dict[tuple[str, str], list[Kill]] = {}
    for kill in kills:
        if not kill.late:
            found.setdefault((kill.victim, kill.signal), []).append(kill)
    victims = list(dict.fromkeys(victim for victim, _ in found))
    cells = [(v, s) for v in victims for s in SIGNALS if (v, s) in found]
    return table(_HEAD, [_row(*cell, found[cell]) for cell in cells])


def _row(victim: str, name: str, kills: Sequence[Kill]) -> tuple[str, ...]:
    leaky = [kill for kill in kills if kill.is_leaky]
    left = (sum(getattr(k, kind) for k in kills) for kind in ("containers", "networks", "volumes"))
    wrong = [kill for kill in kills if not kill.right]
    hung = sum(kill.code is None for kill in kills)
    ends = [kill.gone for kill in kills]
    empty = [kill.empty for kill in kills if kill.empty is not None]
    is_final = name == "KILL"
    return (
        victim,
        name,
        str(len(kills)),
        f"{len(leaky)} ({100 * len(leaky) / len(kills):.0f} %)" if leaky else "0",
        " / ".join(str(count) for count in left),
        "-" if is_final else str(len(wrong)) + (f" ({hung} hung)" if hung else ""),
        "-" if is_final else str(sum(kill.code == 0 for kill in wrong)),
        str(sum(bool(kill.clients) for kill in kills)),
        "-" if is_final else f"{median(ends):.1f} / {max(ends):.1f}",
        f"{median(empty):.1f} / {max(empty):.1f}" if empty and not leaky else "-",
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = (head, ["---"] * len(head), *rows)
    return [f"| {' | '.join(line)} |" for line in lines]
