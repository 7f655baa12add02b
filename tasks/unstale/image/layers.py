"""How an image's layers were made, without the secrets among the build's values. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from unstale.mask import MASK, Mask, is_secret

__all__ = ["masked_history"]

# BuildKit's "RUN |2 A=b TOKEN=x /bin/sh -c ...", and the old builder's without RUN.
_RUN = re.compile(r"(?P<head>(?:RUN )?\|(?P<count>\d+) )(?P<values>.*)", re.DOTALL)
# "/bin/sh -c ...", "/bin/bash -o pipefail -c ...".
_SHELL = re.compile(r" /\S*sh(?: -\S+| pipefail)* -\w*c ")
# "ENV A=b C=d", also as the old builder's comment: "/bin/sh -c #(nop)  ENV A=b".
_SET = re.compile(
    r"(?P<head>(?:/bin/sh -c #\(nop\)\s+)?(?:ENV|ARG|LABEL)\s+)(?P<values>.*)", re.DOTALL
)
_NAME = re.compile(r"(?:^|(?<=\s))(?P<name>[\w.-]+)=")


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer's line, taken apart."""

    head: str
    values: str = ""
    tail: str = ""
    count: int | None = None
    """How many values there are, where the line says so."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        starts = [*_NAME.finditer(self.values)]
        ends = [*(start.start() for start in starts[1:]), len(self.values)]
        return [
            (start["name"], self.values[start.end() : end].rstrip())
            for start, end in zip(starts, ends, strict=False)
        ]

    @property
    def secrets(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.pairs if is_secret(name, value)]


def masked_history(layers: Sequence[str], mask: Mask) -> tuple[str, ...]:
    """*layers* with the names of secret build arguments and variables only.

    A value found secret in one layer is hidden in all of them, and so is what
    *mask* hides.
    """
    read = [_read(layer) for layer in layers]
    secrets = Mask(tuple(value for layer in read for _, value in layer.secrets))
    return tuple(mask(secrets(layer.head + _hidden(layer) + layer.tail)) for layer in read)


def _read(line: str) -> _Layer:
    if found := _RUN.fullmatch(line):
        # The last shell: a value may contain one too. Without any (RUN in its
        # JSON form) nothing says where the values end.
        shells = [shell.start() for shell in _SHELL.finditer(found["values"])]
        end = shells[-1] if shells else len(found["values"])
        values, tail = found["values"][:end], found["values"][end:]
        # Of a number that long Python makes none; it is no count of names either.
        return _Layer(found["head"], values, tail, int(found["count"][:9]))
    if found := _SET.fullmatch(line):
        return _Layer(found["head"], found["values"])
    return _Layer(line)


def _hidden(layer: _Layer) -> str:
    """The values, secret ones replaced.

    They are not quoted. Unless the count of names is right, what looks like
    the next name may be a part of a secret: then nothing follows the first one.
    """
    if not layer.secrets:
        return layer.values
    shown: list[str] = []
    for name, value in layer.pairs:
        secret = is_secret(name, value)
        shown.append(f"{name}={MASK if secret else value}")
        if secret and len(layer.pairs) != layer.count:
            return " ".join([*shown, *(["..."] if (name, value) != layer.pairs[-1] else [])])
    return " ".join(shown)
