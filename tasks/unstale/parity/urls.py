"""URLs by their parts: which of them differ, and what may be shown. Pure.

Where a text can be read in two ways, the one that hides more is taken: a
password may hold ``@`` or ``/`` without their being quoted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from unstale.mask import is_secret

__all__ = ["difference_in_words", "host_only", "shown"]

_HIDDEN = "***"

# Also jdbc:postgresql://, postgresql+psycopg://, sqlite:////var/lib/app.db.
_URL = re.compile(
    r"(?P<scheme>(?:[a-z][a-z0-9+.-]*:)?[a-z][a-z0-9+.-]*)://(?P<rest>\S*)", re.IGNORECASE
)
_ADDRESS = re.compile(
    r"(?P<place>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?"
)
# db:5432, or brokers in a row. A number of two digits is a version, as in
# postgres:17, unless it is a well-known port.
_PORT = r"(?:\d{3,5}|21|22|25|53|80)"
# Below 1024 a port has a name that is known, or the number is something else.
_LOW_PORTS = frozenset({
    21, 22, 25, 53, 80, 88, 110, 111, 119, 123, 143, 161, 179, 389, 443, 445, 465, 514, 587, 631,
    636, 853, 873, 989, 990, 993, 995,
})  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# How the words of an address's name end, without an S: DBHOST, BROKERS, bindAddress.
_ADDRESS_ENDS = (
    "ADDR", "ADDRE", "BIND", "BOOTSTRAP", "BROKER", "CONNECTION", "DATABASE", "DSN", "ENDPOINT",
    "HOST", "HOSTNAME", "LISTEN", "PEER", "PROXY", "SENTINEL", "SERVER", "UPSTREAM", "URI", "URL",
)  # fmt: skip
_IMAGE_ENDS = ("IMAGE", "IMG", "TAG", "VERSION", "RELEASE", "REVISION", "DIGEST")
_PLACE = rf"(?:[\w.-]*[a-z][\w.-]*|\d{{1,3}}(?:\.\d{{1,3}}){{3}}|\[[\da-f:]+\]):{_PORT}"
_PLACES = re.compile(rf"{_PLACE}(?:,{_PLACE})*", re.IGNORECASE)
_ONE_PLACE = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*):?(?P<port>.*)")
_QUERY_KEY = re.compile(r"[A-Za-z][\w.-]{0,31}")

_DATABASES = ("postgres", "mysql", "mariadb", "mongodb", "redis", "sqlite", "oracle", "mssql")
_DEFAULT_PORTS = {
    "amqp": "5672", "http": "80", "https": "443", "mariadb": "3306", "mongodb": "27017",
    "mysql": "3306", "postgres": "5432", "postgresql": "5432", "redis": "6379", "rediss": "6379",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Url:
    """A URL as it is written, taken apart."""

    scheme: str
    """Empty for a mere ``host:port``."""
    place: str
    """Host and port, or several with commas."""
    login: str = field(default="", repr=False)
    """User and password, without the ``@``."""
    path: str = field(default="", repr=False)
    query: str = field(default="", repr=False)
    fragment: str = field(default="", repr=False)


def difference_in_words(
    left: str, right: str, *, key: str = "", services: Collection[str] = ()
) -> str | None:
    """Which parts of two URLs differ, as in ``only the host differs``.

    A pair ``host:port`` counts as a URL if its *key* says that it is an address,
    or if the host has a dot or is one of *services*, and the port is a likely one.
    An image's name and tag look the same, and what is called after those never
    counts. No value is in the words, only keys of a query. None where one is no
    URL, or where they are equal.
    """
    one, other = (_address(text, key, services) for text in (left, right))
    if left == right or one is None or other is None:
        return None
    names = [*_differing(one, other)]
    if not names:
        return "only the spelling differs"
    *first, last = names
    if first:
        return f"{', '.join(first)} and {last} differ"
    return f"only {last} differs" if " " in last else f"only the {last} differs"


def host_only(left: str, right: str, *, key: str = "", services: Collection[str] = ()) -> bool:
    """Say whether two URLs are the same but for host and port.

    What a URL is, depends on *key* and *services*, see `difference_in_words`.
    """
    one, other = (_address(text, key, services) for text in (left, right))
    if one is None or other is None:
        return False
    return {"host", "port"}.issuperset(_differing(one, other))


def shown(url: str) -> str:
    """*url* without its secrets: ``scheme://***@host:port/path?key=***``.

    Secrets of the query are known by name and value. A text that is no URL is
    hidden whole.
    """
    found = _parse(url)
    if found is None:
        return _HIDDEN
    login = f"{_HIDDEN}@" if found.login else ""
    begin = f"{found.scheme}://{login}{found.place}" if found.scheme else found.place
    query = "&".join(_shown_pair(pair) for pair in found.query.split("&"))
    end = f"?{query}" if found.query else ""
    return f"{begin}{_shown_path(found)}{end}{f'#{_HIDDEN}' if found.fragment else ''}"


def _address(text: str, key: str, services: Collection[str]) -> _Url | None:
    """*text* as a URL, or as a ``host:port`` that is one for sure."""
    found = _parse(text)
    if found is None or found.scheme:
        return found
    # Of ADDRESS and HOSTS alike.
    words = [word.upper().rstrip("S") for word in _WORD.findall(key)]
    if any(word.endswith(_IMAGE_ENDS) for word in words):
        return None
    is_named = any(word.endswith(_ADDRESS_ENDS) for word in words)
    return found if is_named or _is_likely(found.place, services) else None


def _is_likely(place: str, services: Collection[str]) -> bool:
    pairs = [one.rpartition(":") for one in place.split(",")]
    return all(
        ("." in host or host.startswith("[") or host == "localhost" or host in services)
        and (1024 <= int(port) <= 65535 or int(port) in _LOW_PORTS)
        for host, _, port in pairs
    )


def _parse(text: str) -> _Url | None:
    if _PLACES.fullmatch(text):
        return _Url("", text)
    found = _URL.fullmatch(text)
    if found is None:
        return None
    login, rest = _login(found["rest"])
    address = _ADDRESS.fullmatch(rest)
    return _Url(found["scheme"].lower(), login=login, **address.groupdict("")) if address else None


def _login(rest: str) -> tuple[str, str]:
    """User and password of *rest*, which follows on ``://``; and what is behind the ``@``."""
    head = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in head:
        before_query = rest.partition("?")[0]
    elif ":" in head:
        before_query = rest
    else:
        return "", rest
    login, _, place = before_query.rpartition("@")
    return login, place + rest[len(before_query) :]


def _differing(one: _Url, other: _Url) -> Iterator[str]:
    """The names of the parts in which they differ, in the order of a URL."""
    # http and https differ in the scheme alone, unless a port is written.
    own = _own_port(one.scheme) if one.scheme == other.scheme else ""
    left, right = dict(_parts(one, own)), dict(_parts(other, own))
    for name in ("scheme", "user", "password", "host", "port", "path"):
        if left[name] != right[name]:
            yield _word_for_path(one, other) if name == "path" else name
    yield from _differing_query(_query(one), _query(other))
    if one.fragment != other.fragment:
        yield "fragment"


def _own_port(scheme: str) -> str:
    return _DEFAULT_PORTS.get(scheme.rpartition(":")[2].partition("+")[0], "")


def _parts(url: _Url, own_port: str) -> Iterator[tuple[str, str | None]]:
    """The parts as they are compared: unquoted, and with *own_port* where none is written."""
    user, colon, password = url.login.partition(":")
    places = [_ONE_PLACE.fullmatch(place) for place in url.place.split(",")]
    yield "scheme", url.scheme
    yield "user", unquote(user)
    yield "password", unquote(password) if colon else None
    yield "host", ",".join(place["host"].lower() for place in places if place)
    yield "port", ",".join(place["port"] or own_port for place in places if place)
    yield "path", unquote(url.path)


def _word_for_path(one: _Url, other: _Url) -> str:
    schemes = (one.scheme.rpartition(":")[2], other.scheme.rpartition(":")[2])
    return "database" if all(scheme.startswith(_DATABASES) for scheme in schemes) else "path"


def _query(url: _Url) -> Mapping[str, tuple[str, ...]]:
    """The values of each key of the query, which may recur."""
    pairs = [pair.partition("=") for pair in url.query.split("&") if pair]
    keys = {unquote(key) for key, _, _ in pairs}
    return {k: tuple(unquote(value) for key, _, value in pairs if unquote(key) == k) for k in keys}


def _differing_query(
    left: Mapping[str, tuple[str, ...]], right: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    keys = [k for k in sorted({*left, *right}) if left.get(k) != right.get(k)]
    # What stands where a key should may be a piece of a password.
    if all(_QUERY_KEY.fullmatch(key) and not is_secret("", key) for key in keys):
        yield from (f"{key} in the query" for key in keys)
    else:
        yield "query"


def _shown_pair(pair: str) -> str:
    key, equals, value = pair.partition("=")
    if not equals or not _QUERY_KEY.fullmatch(key):
        return _HIDDEN
    hidden = "@" in value or is_secret(key, unquote(value))
    return f"{key}={_HIDDEN if hidden else value}"


def _shown_path(url: _Url) -> str:
    # Some paths are secrets as a whole: the address of a chat's webhook.
    if is_secret("", f"{url.scheme}://{url.place}{url.path}"):
        return f"/{_HIDDEN}"
    segments = url.path.split("/")
    return "/".join(_HIDDEN if is_secret("", unquote(one)) else one for one in segments)
