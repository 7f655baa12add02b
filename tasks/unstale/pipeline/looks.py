"""`image.verify`: what is asked of which image, by options or by the project's own rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unstale.errors import UsageError
from unstale.pipeline import images, steps
from unstale.pipeline.images import Bench
from unstale.verdict import combine

if TYPE_CHECKING:
    from unstale.image.verify import VerifyResult
    from unstale.pipeline.site import Site

__all__ = ["Wanted", "look"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody typed."""

    service: str | None = None
    path: str | None = None
    grep: str | None = None
    regex: str | None = None

    @property
    def is_specific(self) -> bool:
        """Whether it says what to look for, or where."""
        return bool(self.path or self.grep or self.regex)


def look(bench: Bench, wanted: Wanted) -> VerifyResult:
    """Look for what is *wanted*; if that is nothing, for each ``[[tool.unstale.verify]]``.

    The verdict is that of all of them together, the finding the first one.

    Raises:
        UsageError: it is not clear whose image is meant.

    """
    site = bench.site
    service = wanted.service or _service(site, specific=wanted.is_specific)
    steps.require_service(site, service)
    first = images.verify(bench, service, path=wanted.path, grep=wanted.grep, regex=wanted.regex)
    if wanted.is_specific:
        return first
    rules = tuple(_rules(bench, wanted.service))
    whole = (first, *rules)
    return replace(
        first,
        verdict=combine(one.verdict for one in whole),
        finding=next((one.finding for one in whole if one.finding), ""),
        rules=rules,
    )


def _rules(bench: Bench, service: str | None) -> Iterator[VerifyResult]:
    for rule in bench.site.settings.verify:
        name = rule.service or bench.site.require_runner()
        if service in (None, name):
            yield images.verify(bench, name, path=rule.path, grep=rule.grep)


def _service(site: Site, *, specific: bool) -> str:
    """The runner; where the tests run elsewhere, the one service that is built, or is ruled on."""
    if site.runner not in (None, "host"):
        return site.require_runner()
    built = [s.name for s in site.stack.built]
    named = [rule.service for rule in site.settings.verify if rule.service]
    if len(built) == 1 or (named and not specific):
        return built[0] if len(built) == 1 else named[0]
    where = "run on the host" if site.runner else "run in no service that could be told"
    raise UsageError(
        "It is not clear whose image is meant.",
        cause=f"The tests {where}. Built here: {', '.join(built) or 'nothing'}.",
        hint="--service NAME",
    )
