"""The marker ``ci_sensitive``: tests that tend to fail elsewhere are looked at closely.

They log at DEBUG level, the leak guard judges them, they can be repeated with
``--ci-sensitive-repeat N``, and the summary lists each with its outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from unstale.pytest_plugin import leaks

__all__ = ["MARKER", "is_sensitive", "register"]

MARKER = "ci_sensitive"
_ROUND = "ci_sensitive_round"
_WORST = ("failed", "error", "skipped", "passed")


def is_sensitive(item: pytest.Item) -> bool:
    """Say whether *item*, its class or its module carries the marker."""
    return item.get_closest_marker(MARKER) is not None


def register(config: pytest.Config) -> None:
    """Make the marker known. Tests without it are left as they are."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}: look closely at this test: DEBUG log, leak guard, a line in the summary,"
        " --ci-sensitive-repeat N",
    )
    config.pluginmanager.register(_Sensitive(config), "unstale-sensitive")


@dataclass(frozen=True, slots=True)
class _Run:
    """What became of one test: the worst of its phases and their seconds."""

    outcome: str = "passed"
    duration_s: float = 0.0

    def then(self, report: pytest.TestReport) -> _Run:
        outcome: str = report.outcome
        if outcome == "failed" and report.when != "call":
            outcome = "error"
        worst = min(outcome, self.outcome, key=_WORST.index)
        return replace(self, outcome=worst, duration_s=self.duration_s + report.duration)


class _Sensitive:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._runs: dict[str, _Run] = {}
        self._rounds = max(1, int(config.getoption("--ci-sensitive-repeat", None) or 1))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        marked = metafunc.definition.get_closest_marker(MARKER) is not None
        if self._rounds == 1 or not marked:
            return
        metafunc.fixturenames.append(_ROUND)
        rounds = range(1, self._rounds + 1)
        ids = [f"round-{n}-of-{self._rounds}" for n in rounds]
        metafunc.parametrize(_ROUND, rounds, indirect=False, ids=ids)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        marked = [item for item in items if is_sensitive(item)]
        for item in marked:
            # Reaches the process that prints the summary, and junit.xml, too.
            item.user_properties.append((MARKER, "true"))
        if marked:
            leaks.guard(self._config, is_sensitive)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        __tracebackhide__ = True
        if not is_sensitive(item):
            return (yield)
        with _debug_log(self._config):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (MARKER, "true") in map(tuple, report.user_properties):
            self._runs[report.nodeid] = self._runs.get(report.nodeid, _Run()).then(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._runs:
            return
        terminalreporter.write_sep("=", f"unstale: {MARKER} tests")
        for nodeid, run in self._runs.items():
            terminalreporter.write_line(f"{run.outcome:<8}{run.duration_s:8.2f} s  {nodeid}")


@contextmanager
def _debug_log(config: pytest.Config) -> Iterator[None]:
    """Capture everything, even where the suite's log_level leaves DEBUG out."""
    plugin: Any = config.pluginmanager.get_plugin("logging-plugin")  # pytest's private class
    if plugin is None:  # -p no:logging
        yield
        return
    level = plugin.log_level
    handlers = (plugin.caplog_handler, plugin.report_handler)
    levels = [handler.level for handler in handlers]
    plugin.log_level = logging.DEBUG
    try:
        yield
    finally:
        plugin.log_level = level
        for handler, before in zip(handlers, levels, strict=True):
            handler.setLevel(before)
