"""Which services run the project's Python, as far as that is certain. Pure.

A service that is built may be a database or a web server of another language: what
the project's code does says nothing of those.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from unstale.parity.model import EnvironmentFacts, Item, ServiceFacts

__all__ = ["code_services", "in_all", "runs_code"]

_PYTHONS = r"(?:python|pypy)[\d.]*|uvicorn|gunicorn|django|flask|fastapi|celery"
_PROGRAM = re.compile(
    rf"{_PYTHONS}|ipython|py\.?test|django-admin|hypercorn|daphne|granian|uwsgi|alembic|poetry|pdm"
    r"|uvx?|pipenv|hatch|tox|nox|dramatiq|a?rq|huey_consumer|streamlit|waitress-serve|[\w.-]+\.py"
)
_IMAGE = re.compile(_PYTHONS)
# The words of a command, and those of a shell's script; values of flags are none.
_WORDS = re.compile(r"(?:entrypoint )?(?:word \d+|script)")
_BETWEEN = re.compile(r"[\s\"'`;&|()\[\],]+")
_BIND = re.compile(r"bind (.*):r[ow](?: |$)")

_Mark = tuple[object, ...]


def code_services(services: Collection[ServiceFacts]) -> Mapping[str, frozenset[str]]:
    """Those of one environment's *services* that are known to run the project's Python.

    Each has the folders of the project that are in it. What has no command of its own
    runs what another service with the same image is known to run.
    """
    known = {one.name: frozenset(_folders(one)) for one in services if runs_code(one)}
    images: dict[_Mark, frozenset[str]] = {}
    for one in services:
        for mark in _marks(one) if one.name in known else ():
            images[mark] = images.get(mark, frozenset()) | known[one.name]
    for one in services:
        folders = [images[mark] for mark in _marks(one) if mark in images]
        if folders and one.name not in known and not _commands(one):
            known[one.name] = frozenset(_folders(one)).union(*folders)
    return known


def in_all(environments: Iterable[EnvironmentFacts]) -> Mapping[str, frozenset[str]]:
    """Those that are known by `code_services` in every one of *environments* that has them."""
    found: dict[str, frozenset[str]] = {}
    others: set[str] = set()
    for environment in environments:
        known = code_services(environment.services or ())
        others |= {one.name for one in environment.services or ()} - known.keys()
        for name, folders in known.items():
            found[name] = found.get(name, folders) & folders
    return {name: folders for name, folders in found.items() if name not in others}


def runs_code(service: ServiceFacts, image: Iterable[str] = ()) -> bool:
    """Whether *service* is known to run the project's Python: it says so, and has its files.

    *image* are words of its image: what it is FROM, its ENTRYPOINT and its CMD. They
    say nothing of a service that has a command of its own.
    """
    if not any(_folders(service)):
        return False
    commands = _commands(service)
    said = [item.value for item in commands if _WORDS.fullmatch(item.item)]
    said += [i.value for i in service.items if (i.field, i.item) == ("healthcheck", "test")]
    if any(_starts_python(text or "") for text in said):
        return True
    names = [i.value or "" for i in service.items if (i.field, i.item) == ("image", "name")]
    of_image = [*names, *image]
    return not commands and any(_is_python(one) or _starts_python(one) for one in of_image)


def _commands(service: ServiceFacts) -> Sequence[Item]:
    return [item for item in service.items if item.field == "command"]


def _folders(service: ServiceFacts) -> Iterator[str]:
    """What of the project is in *service*: what it is built from, and what is mounted."""
    for item in service.items:
        value = item.value or ""
        if (item.field, item.item) == ("image", "build.context"):
            yield value
        elif item.field == "volumes" and (bound := _BIND.match(value)):
            yield bound[1]


def _marks(service: ServiceFacts) -> Iterator[_Mark]:
    """What is the same for two services with one image."""
    yield from (("name", i.value) for i in service.items if (i.field, i.item) == ("image", "name"))
    parts = [i for i in service.items if i.item.startswith("build.") and not i.identity]
    if parts:
        yield ("build", *((one.item, one.value) for one in parts))


def _starts_python(text: str) -> bool:
    words = (PurePosixPath(word).name for word in _BETWEEN.split(text) if word)
    return any(_PROGRAM.fullmatch(word) for word in words)


def _is_python(image: str) -> bool:
    parts = re.split(r"[/:@_-]", image)
    has_another = any(part.startswith("node") for part in parts)
    return not has_another and any(_IMAGE.fullmatch(part) for part in parts)
