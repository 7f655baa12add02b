"""What the project's Python code reads from the environment, told from its text. Pure.

Nothing of the project is imported. Names are taken where they are written, as a
literal or as a constant of the same module; those that are computed are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from unstale.parity.codebase import Codebase
from unstale.parity.defaults import NotKnown, Read
from unstale.parity.environ_reads import (
    Computed,
    Whole,
    environ_reads,
    loaded_env_files,
    reader_names,
)
from unstale.parity.settings_reads import settings_env_files, settings_reads, tells_unset

__all__ = ["Reads", "code_reads", "is_code", "is_program", "mentions", "with_asked"]

# Files without any of these words read nothing that we know of.
_WORDS = re.compile(
    rb"\b(?:environs?|environb|getenvb?|expandvars|decouple|load_dotenv|starlette\.config)\b"
)
# A variable of a shell's, and a name as a text of its own.
_DOLLAR = re.compile(rb"\$\{?([A-Za-z_]\w*)")
_QUOTED = re.compile(rb"""["']([A-Za-z_]\w*)["']""")
_SET = re.compile(rb"""\b(?:set|del)env\(\s*["'](\w+)["']""")
_CAPITALS = re.compile(rb"\b[A-Z_][A-Z0-9_]+\b|\$\{?([A-Za-z_]\w*)")
_PROGRAMS = re.compile(
    r"Dockerfile|^(?:Make|Proc|Just)file|^package\.json$"
    r"|\.(?:(?:ba|z|k)?sh|[cm]?[jt]sx?|rb|php|pl|go|rs|java|kt|lua|conf|cfg|ini|ya?ml|mk"
    r"|te?mpl(?:ate)?|j2|jinja2?|mako|in)$"
)
_VENVS = frozenset(
    {"site-packages", "venv", ".venv", "env", ".tox", ".nox", "node_modules", "__pycache__"}
)


_Found = Read | Computed | Whole


@dataclass(frozen=True, slots=True)
class Reads:
    """All reads of a project's code."""

    reads: tuple[Read, ...] = ()
    """Sorted by file, line and name."""
    env_files: tuple[str, ...] = ()
    """Env files that the code loads itself, as it spells them: they set variables, too."""
    notes: tuple[str, ...] = ()
    """What could not be told; without a value."""
    is_open: bool = False
    """Whether the code may read any variable: it hands the environment on, or computes names."""
    tells_unset: bool = False
    """Whether the code may ask which settings are set, and which have their default."""
    mentioned: frozenset[str] = frozenset()
    """Variables that the code names in other places than its reads."""
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

    def all_of(self, name: str) -> tuple[Read, ...]:
        """The reads of *name* if it is certain that no other code reads it; else none."""
        found = self.of(name)
        is_vague = self.tells_unset and any(read.how == "settings" for read in found)
        return () if self.is_open or is_vague or name in self.mentioned else found


def is_code(path: str) -> bool:
    """Whether *path*, relative and with slashes, is Python of the project itself."""
    pure = PurePosixPath(path)
    # Projects keep env files in env/; a virtual environment there has a lib/.
    is_foreign = not _VENVS.isdisjoint(pure.parts[:-1])
    is_own_env = pure.parts[:1] == ("env",) and "site-packages" not in pure.parts
    return pure.suffix in (".py", ".pyi") and (not is_foreign or is_own_env)


def is_program(path: str) -> bool:
    """Whether *path* is no Python and may use variables: a script, a Dockerfile, a template.

    Compose files are none: what they use is known. Nor is what only a CI service reads.
    """
    pure = PurePosixPath(path)
    is_hidden = any(part in _VENVS or part.startswith(".") for part in pure.parts)
    is_compose = pure.suffix in (".yml", ".yaml") and "compose" in pure.name
    is_named = bool(_PROGRAMS.search(pure.name)) or not pure.suffix
    return is_named and not (is_hidden or is_compose)


def mentions(files: Iterable[tuple[str, bytes]]) -> frozenset[str]:
    """The words in capitals of *files* that `is_program` takes: what they may use as variables."""
    found = (m for path, text in files if is_program(path) for m in _CAPITALS.finditer(text))
    return frozenset((m[1] or m[0]).decode("ascii", "replace") for m in found)


def code_reads(files: Iterable[tuple[str, bytes | str]]) -> Reads:
    """What the Python *files*, each a relative path and its content, read.

    A file that can't be parsed is a note. The order of *files* does not matter.
    """
    code = Codebase({file: _bytes(text) for file, text in sorted(files) if is_code(file)})
    try:
        return _read_by(code)
    except RecursionError:
        # A thousand terms of a sum, or types in types: whoever wrote them, wrote them there.
        return _read_by(code.without_deep())


def _read_by(code: Codebase) -> Reads:
    texts = code.texts
    found: list[_Found] = list(settings_reads(code))
    env_files = set(settings_env_files(code))
    readers: dict[str, tuple[str, ...]] = {}
    for file, text in texts.items():
        source = code.source(file) if _WORDS.search(text) else None
        if source:
            found += environ_reads(source, text)
            env_files.update(loaded_env_files(source, text))
            readers[file] = reader_names(source)
    found += _borrowed(code, readers)
    reads = {read for read in found if isinstance(read, Read)}
    unset = tuple(tells_unset(code))
    return Reads(
        tuple(sorted(reads, key=_order)),
        tuple(sorted(env_files)),
        tuple(_notes(found, unset, code)),
        is_open=len(reads) < len(set(found)) or bool(code.failed),
        tells_unset=bool(unset),
        mentioned=_mentioned(texts, reads),
    )


def _borrowed(code: Codebase, readers: Mapping[str, Sequence[str]]) -> Iterator[Whole]:
    """Files that may ask a library's object that another file made."""
    for maker, names in readers.items():
        path = PurePosixPath(maker)
        module = path.parent.name if path.stem == "__init__" else path.stem
        words = [re.compile(rf"\b{re.escape(word)}\b".encode()) for word in (module, *names)]
        for file, text in code.texts.items() if names else ():
            if file != maker and words[0].search(text):
                for match in (m for word in words[1:] if (m := word.search(text))):
                    yield Whole(file, text.count(b"\n", 0, match.start()) + 1)


def _mentioned(texts: Mapping[str, bytes], reads: Collection[Read]) -> frozenset[str]:
    """Variables that the code names where no read of them is seen."""
    names = {read.name.encode() for read in reads}
    seen = Counter((read.file, read.name.encode()) for read in reads)
    found: set[bytes] = set()
    for file, text in texts.items():
        found.update(_DOLLAR.findall(text))
        told = Counter(name for name in _QUOTED.findall(text) if name in names)
        # A test that sets a variable reads none.
        told.subtract(name for name in _SET.findall(text) if name in told)
        found.update(name for name, count in told.items() if count > seen[file, name])
    return frozenset(name.decode() for name in found)


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


def _notes(
    found: Iterable[_Found], unset: Iterable[tuple[str, int]], code: Codebase
) -> Iterator[str]:
    computed, whole = _lines(found, Computed), _lines(found, Whole)
    asking = dict(unset)
    for file in sorted({*computed, *whole, *asking, *code.failed}):
        if file in code.failed:
            yield f"{file} is not Python that can be parsed here: what it reads is not known"
        if lines := computed.get(file):
            count = len(lines)
            reads = f"{count} reads with computed names" if count > 1 else _ONE_COMPUTED
            yield f"{reads} in {file}:{lines[0]}, so any variable may matter"
        if lines := whole.get(file):
            yield f"{file}:{lines[0]} uses the environment as a whole, so any variable may matter"
        if file in asking:
            yield f"{file}:{asking[file]} asks which settings are set, so any of them may matter"


_ONE_COMPUTED = "1 read with a computed name"


def _lines(found: Iterable[_Found], kind: type[Computed | Whole]) -> Mapping[str, list[int]]:
    """The lines of each file that has some of *kind*, in their order."""
    lines: dict[str, list[int]] = {}
    for one in sorted((f.file, f.line) for f in found if isinstance(f, kind)):
        lines.setdefault(one[0], []).append(one[1])
    return lines
