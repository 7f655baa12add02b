"""Tables of what the ledger knows, for the screen and docs/reliability.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from figures import Values
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


_OTHERS = ("bash-run", "bash-up", "pow", "invoke")


def figure_table(kills: Iterable[Kill], figures: Mapping[str, Values]) -> list[str]:
    """The figures to beat: today's tools beside the target and unstale."""
    counted = [kill for kill in kills if not kill.late]
    rows = [*_kill_rows(counted), *_figure_rows(figures)]
    return table(("figure", "today's tools", "target", "unstale", "n"), rows)


def _kill_rows(kills: Sequence[Kill]) -> list[tuple[str, ...]]:
    asked = ("INT", "TERM", "HUP", "INT2")
    mine = [k for k in kills if k.victim == "unstale"]
    polite = [k for k in mine if k.signal in asked]
    killed = [k for k in mine if k.signal == "KILL"]
    rows = []
    if polite:
        theirs = [k for k in kills if k.victim in _OTHERS and k.signal in asked]
        leaky = sum(k.is_leaky for k in polite)
        wrong = sum(not k.right for k in polite)
        gone = [k.gone for k in polite]
        count = str(len(polite))
        rows += [
            (
                "leaky after INT, TERM, HUP, INT twice",
                _rates(theirs, "is_leaky"),
                "0",
                str(leaky),
                count,
            ),
            ("wrong code after them", _rates(theirs, "is_wrong"), "0", str(wrong), count),
            (
                "signal until the process is gone, median / max",
                _delays(theirs),
                "3 s / 7 s",
                f"{median(gone):.1f} s / {max(gone):.1f} s",
                count,
            ),
        ]
    if killed:
        theirs = [k for k in kills if k.victim in _OTHERS and k.signal == "KILL"]
        leaky = sum(k.is_leaky for k in killed)
        empty = [k.empty for k in killed if k.empty is not None]
        most = f", at most {max(empty):.1f} s" if empty else ""
        rows.append(
            (
                "leaky 5 s after KILL",
                _rates(theirs, "is_leaky"),
                "0",
                f"{leaky}{most}",
                str(len(killed)),
            )
        )
    return rows


def _rates(kills: Sequence[Kill], what: str) -> str:
    found = []
    for victim in _OTHERS:
        mine = [kill for kill in kills if kill.victim == victim]
        if mine:
            found.append(f"{victim} {sum(getattr(k, what) for k in mine)} of {len(mine)}")
    return ", ".join(found) or "-"


def _delays(kills: Sequence[Kill]) -> str:
    found = []
    for victim in _OTHERS:
        ends = [kill.gone for kill in kills if kill.victim == victim]
        if ends:
            found.append(f"{victim} {median(ends):.1f} / {max(ends):.1f}")
    return ", ".join(found) or "-"


def _figure_rows(figures: Mapping[str, Values]) -> list[tuple[str, ...]]:
    rows = []
    for name, title, target, who, tell in _FIGURES:
        if name not in figures:
            continue
        values = figures[name]
        ours = values[who]
        others = {} if who.startswith("foreign") else values
        rest = [f"{other} {tell(found)}" for other, found in others.items() if _is_other(other)]
        rows.append((title, ", ".join(rest) or "-", target, tell(ours), str(len(ours))))
    if "parallel" in figures:
        rows.append(_parallel_row(figures["parallel"]))
    return rows


def _is_other(who: str) -> bool:
    return not who.startswith(("unstale", "foreign"))


def _parallel_row(values: Values) -> tuple[str, ...]:
    def ratio(who: str) -> str:
        one, four = median(values[f"{who} N=1"]), median(values[f"{who} N=4"])
        return f"{four:.1f} s against {one:.1f} s, {four / one:.2f} times"

    count = str(len(values["unstale N=4"]))
    return ("four runs at once against one", f"bash-run {ratio('bash-run')}",
            "the same ratio + 10 %", ratio("unstale"), count)  # fmt: skip


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.1f} s (at most {max(values):.1f})"


def _sum(values: Sequence[float]) -> str:
    return f"{sum(values):g} of {len(values)}"


def _total(values: Sequence[float]) -> str:
    return f"{sum(values):g}"


def _hits(values: Sequence[float]) -> str:
    return f"{sum(value > 0 for value in values)} of {len(values)}"


# Name, row, target, whose values are ours, and how they are told.
_FIGURES: tuple[tuple[str, str, str, str, Callable[[Sequence[float]], str]], ...] = (
    (
        "next-start",
        "leaky after KILL of the watchdog too, and the next start",
        "0",
        "unstale",
        _hits,
    ),
    ("next-start", "look-alikes that this start removed", "0", "foreign, removed", _total),
    ("false-green", "green although the database died under the tests", "0", "unstale", _sum),
    ("concurrent", "red, of four runs at once in one checkout", "0 of 20", "unstale", _sum),
    ("exited", "a service's exit is noticed", "2 s", "unstale", _spread),
    ("stubborn", "tear-down of three services that ignore SIGTERM", "3 s", "unstale", _spread),
    ("grandchild", "grandchildren alive after a step's time-out", "0", "unstale", _total),
    ("images", "images that an unchanged run adds", "0", "unstale", _total),
    ("canary", "places where a secret's value is seen", "0", "unstale", _total),
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = (head, ["---"] * len(head), *rows)
    return [f"| {' | '.join(line)} |" for line in lines]
