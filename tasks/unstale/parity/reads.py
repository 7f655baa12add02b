"""What the project's Python code reads from the environment, told from its text. Pure.

Nothing of the project is imported. Names are taken where they are written, as a
literal or as a constant of the same module; those that are computed are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from unstale.parity.codebase import Codebase
from unstale.parity.defaults import NotKnown, Read
from unstale.parity.environ_reads import Computed, environ_reads, loaded_env_files
from unstale.parity.settings_reads import settings_env_files, settings_reads

__all__ = ["Reads", "code_reads", "is_code", "with_asked"]

# Files without any of these words read nothing that we know of.
_WORDS = re.compile(rb"\b(?:environs?|getenv|decouple|load_dotenv|starlette\.config)\b")
_VENVS = frozenset(
    {"site-packages", "venv", ".venv", "env", ".tox", ".nox", "node_modules", "__pycache__"}
)


@dataclass(frozen=True, slots=True)
class Reads:
    """All reads of a project's code."""

    reads: tuple[Read, ...] = ()
    """Sorted by file, line and name."""
    env_files: tuple[str, ...] = ()
    """Env files that the code loads itself, as it spells them: they set variables, too."""
    notes: tuple[str, ...] = ()
    """What could not be told; without a value."""
    _meant: Mapping[str, tuple[Read, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        meant: dict[str, list[Read]] = {}
        for read in self.reads:
            meant.setdefault(read.name.upper(), []).append(read)
        by_name = {name: tuple(reads) for name, reads in meant.items()}
        object.__setattr__(self, "_meant", by_name)

    def by_name(self) -> Mapping[str, tuple[Read, ...]]:
        """The reads of each name; one whose case does not matter is in capitals."""
        found: dict[str, list[Read]] = {}
        for read in self.reads:
            found.setdefault(read.name, []).append(read)
        return {name: tuple(found[name]) for name in sorted(found)}

    def of(self, name: str) -> tuple[Read, ...]:
        """The reads that *name*, as an env file spells it, decides."""
        meant = self._meant.get(name.upper(), ())
        return tuple(read for read in meant if read.name == name or not read.is_case_sensitive)


def is_code(path: str) -> bool:
    """Whether *path*, relative and with slashes, is Python of the project itself."""
    pure = PurePosixPath(path)
    # Projects keep env files in env/; a virtual environment there has a lib/.
    is_foreign = not _VENVS.isdisjoint(pure.parts[:-1])
    is_own_env = pure.parts[:1] == ("env",) and "site-packages" not in pure.parts
    return pure.suffix in (".py", ".pyi") and (not is_foreign or is_own_env)


def code_reads(files: Iterable[tuple[str, bytes | str]]) -> Reads:
    """What the Python *files*, each a relative path and its content, read.

    A file that can't be parsed is a note. The order of *files* does not matter.
    """
    texts = {file: _bytes(text) for file, text in sorted(files) if is_code(file)}
    code = Codebase(texts)
    found: list[Read | Computed] = list(settings_reads(code))
    env_files = set(settings_env_files(code))
    for file, text in texts.items():
        source = code.source(file) if _WORDS.search(text) else None
        if source:
            found += environ_reads(source, text)
            env_files.update(loaded_env_files(source, text))
    reads = {read for read in found if isinstance(read, Read)}
    return Reads(
        tuple(sorted(reads, key=_order)), tuple(sorted(env_files)), tuple(_notes(found, code))
    )


def with_asked(reads: Reads, asked: Sequence[Read], note: str = "") -> Reads:
    """*reads* and what a Settings class said of itself, *asked*.

    Where both know a variable of the same file, its line is that of the text and
    its default that of the class, which may not tell one. *note* is why it could
    not be asked.
    """
    said = {(read.file, read.name): read for read in asked}
    told = [_told(read, said.get((read.file, read.name))) for read in reads.reads]
    known = {(read.file, read.name) for read in told if read.how == "settings"}
    more = [read for where, read in said.items() if where not in known]
    notes = (*reads.notes, note) if note else reads.notes
    return replace(reads, reads=tuple(sorted([*told, *more], key=_order)), notes=notes)


def _told(read: Read, said: Read | None) -> Read:
    if read.how != "settings" or said is None or isinstance(said.default, NotKnown):
        return read
    return replace(read, default=said.default, rule=said.rule)


def _bytes(text: bytes | str) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def _order(read: Read) -> tuple[object, ...]:
    return (read.file, read.line, read.name, read.how, repr(read))


def _notes(found: Iterable[Read | Computed], code: Codebase) -> Iterator[str]:
    computed = Counter(one.file for one in found if isinstance(one, Computed))
    for file in sorted({*computed, *code.failed}):
        if file in code.failed:
            yield f"{file} is not Python that can be parsed here: what it reads is not known"
            continue
        lines = sorted(
            {one.line for one in found if isinstance(one, Computed) and one.file == file}
        )
        count = computed[file]
        reads = (
            "1 read with a computed name" if count == 1 else f"{count} reads with computed names"
        )
        yield f"{reads} in {file}:{lines[0]}"
