"""The form of an image's name, as the builder checks it before it looks for the image. Pure.

Source: distribution/reference (``ParseNormalizedNamed``) and opencontainers/go-digest;
every rule was checked against the engine.
"""

from __future__ import annotations

import re

__all__ = ["why_refused"]

_HOST = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_ID = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME = 255


def why_refused(reference: str) -> str:
    """Why no image can be called *reference*; empty if one can."""
    if _ID.fullmatch(reference):
        return "an image's id is no name"
    named, at, digest = reference.partition("@")
    registry, path = _split(named)
    path, colon, tag = path.partition(":")
    if path != path.lower():
        return "a repository's name has no capital letters"
    is_formed = (
        _REGISTRY.fullmatch(registry)
        and _REPOSITORY.fullmatch(path)
        and (not colon or _TAG.fullmatch(tag))
        and (not at or _DIGEST.fullmatch(digest))
        and len(f"{registry}/{path}") <= _LONGEST_NAME
    )
    return "" if is_formed else "it is not of the form registry/repository:tag@digest"


def _split(named: str) -> tuple[str, str]:
    """The registry and what is asked of it: the first part is one if it looks like a host."""
    first, slash, rest = named.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost" or first != first.lower()):
        return "docker.io", named if slash else f"library/{named}"
    return first, rest if first != "docker.io" or "/" in rest else f"library/{rest}"
