"""What tests on this machine are told, under the project's own names: where a service is. Pure.

A run's ports are the engine's choice, so that two runs stand side by side. Tests that know
``BASE_URL`` alone get it from a line like ``BASE_URL = "http://{web:5000}"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from unstale.errors import ConfigError, Unavailable
from unstale.facts import ContainerFact
from unstale.pipeline.site import Site
from unstale.stack.running import published_at

__all__ = ["require", "variables"]

_PLACE = re.compile(
    r"\{(?P<service>[A-Za-z0-9][A-Za-z0-9._-]*):(?P<port>\d{1,5})(?::(?P<part>host|port))?\}"
)
_WHERE = "environment of [tool.unstale.runner]"


def variables(site: Site, containers: Sequence[ContainerFact]) -> dict[str, str]:
    """The variables of ``runner.environment``, with each address put in.

    Raises:
        Unavailable: the engine published a port nowhere.

    """
    addresses = published_at(containers)

    def put(found: re.Match[str]) -> str:
        service, port = found["service"], int(found["port"])
        address = addresses.get((service, port))
        if address is None:
            raise Unavailable(
                f"The port {port} of {service!r} is published nowhere.",
                cause=f"{found[0]} in {_WHERE} asks for it.",
                hint="docker ps",
            )
        host, _, number = address.rpartition(":")
        return {"host": host.strip("[]"), "port": number}.get(found["part"] or "", address)

    return {name: _PLACE.sub(put, text) for name, text in site.settings.runner.environment}


def require(site: Site) -> None:
    """Refuse variables that no run could give to its tests.

    Raises:
        ConfigError: the tests run in a container, or a service publishes no such port.

    """
    given = dict(site.settings.runner.environment)
    if given and site.runner not in (None, "host"):
        raise ConfigError(
            f"The tests run in {site.runner!r}, and {_WHERE} is for tests on this machine.",
            hint=f"move {', '.join(sorted(given))} to environment: of {site.runner} in the"
            " compose file",
        )
    for service, port in _asked(given):
        known = {s.name: [p.target for p in s.ports] for s in site.stack.services}
        if port not in known.get(service, ()):
            told = "; ".join(f"{n}: {', '.join(map(str, p))}" for n, p in known.items() if p)
            raise ConfigError(
                f"{service!r} publishes no port {port}, which {_WHERE} asks for.",
                cause=f"Published: {told or 'none'}.",
                hint=f'ports: ["127.0.0.1::{port}"] under {service} in the compose file',
            )


def _asked(given: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    for text in given.values():
        for found in _PLACE.finditer(text):
            yield found["service"], int(found["port"])
