"""The test command is not where the tests are to run: told by what its start printed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from unstale.errors import Fault, Unavailable
from unstale.pipeline.site import Site

__all__ = ["not_here", "not_there"]

# Of the engine, of a shell (env(1) too), and where nothing could be executed.
_NOTHING_RAN = frozenset({1, 125, 126, 127, 128})
_QUOTES = "'\"\u2018\u2019"  # coreutils quotes in typographic ones, where it may
_NO_MODULE = re.compile(r"^\S*python[\d.]*: No module named (\S+)$", re.MULTILINE)


def not_there(site: Site, service: str, said: str, code: int) -> Unavailable | None:
    """Whether *said*, by a runner that ended with *code*, is that the command is not in it."""
    word = _absent(site.settings.runner.command, said) if code in _NOTHING_RAN else ""
    if not word:
        return None
    others = [s.name for s in site.stack.built if s.name != service]
    where = f"[tool.unstale.environments.{site.environment.name}]"
    elsewhere = f"; or set runner in {where} to {', '.join((*others, 'host'))}"
    return Unavailable(
        f"The test command {word!r} is not in the image of {service!r}.",
        cause="Its image was built without what the tests need, or it is not the service"
        " that runs them.",
        hint=f"install {word} in the image (a build target for tests), then inv image.build; or"
        f" set command in [tool.unstale.runner]{elsewhere}",
        fault=Fault.CONFIGURATION,
    )


def not_here(site: Site, said: str, code: int = 127) -> Unavailable | None:
    """The same, of tests that run on this machine."""
    word = _absent(site.settings.runner.command, said) if code in _NOTHING_RAN else ""
    if not word:
        return None
    return Unavailable(
        f"The test command {word!r} is not on this machine.",
        cause="The tests run here, on the host; the project's virtual environment may not be"
        " active, or lack it.",
        hint=f"install {word} or activate the environment; or set command in [tool.unstale.runner],"
        f' such as [".venv/bin/python", "-m", "{word}"]',
        fault=Fault.CONFIGURATION,
    )


def _absent(command: Sequence[str], said: str) -> str:
    """The program or module of *command* that is not there; empty if it is another matter."""
    program = command[0] if command else ""
    modules = {after for word, after in itertools.pairwise(command) if word == "-m"}
    found = _NO_MODULE.search(said)
    if found and found[1].strip("'") in modules:
        return found[1].strip("'")
    word = re.escape(program)
    quoted = rf"(?:^|[\s{_QUOTES}]){word}[{_QUOTES}]?"
    signs = (
        rf'exec: "{word}": (?:executable file not found|stat .*no such file)',
        rf"executable file `{word}` not found",
        rf"exec {word} failed: No such file",
        rf"{quoted}: (?:(?:command )?not found|No such file or directory)",
        rf"There is no program called {word}\.",
    )
    return program if program and any(re.search(s, said, re.MULTILINE) for s in signs) else ""
