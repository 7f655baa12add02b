"""Where the ports of an engine are that is on another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from unstale.adapters.docker import DockerCli
from unstale.ports import Command, CommandResult, Process

CONTAINER = {
    "Id": "c1",
    "Name": "/demo-app-1",
    "Image": "sha256:1",
    "State": {"Status": "running", "ExitCode": 0},
    "Config": {"Labels": {"com.docker.compose.service": "app"}},
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}]},
    },
}


class _Docker:
    def run(self, command: Command, on_line: object = None) -> CommandResult:
        del on_line
        is_listed = "ps" in command.argv
        return CommandResult(0, "c1" if is_listed else json.dumps([CONTAINER]), "", 0.0)


def _ports(environ: Mapping[str, str]) -> tuple[tuple[int, str], ...]:
    class Ours(_Docker, Process): ...

    docker = DockerCli(Ours(), {"PATH": "/usr/bin", **environ})
    docker._podman = ""  # asked over the network otherwise
    (container,) = docker.containers({})
    return container.ports


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("unix:///var/run/docker.sock", "0.0.0.0:32768"),
        ("tcp://docker:2375", "docker:32768"),
        ("tcp://127.0.0.1:2375", "127.0.0.1:32768"),
        ("tcp://[2001:db8::1]:2375", "[2001:db8::1]:32768"),
        ("ssh://robin@build.example.com", "build.example.com:32768"),
        ("tcp://[broken", "0.0.0.0:32768"),
    ],
)
def test_a_port_is_on_the_machine_of_the_engine(host: str, address: str) -> None:
    assert _ports({"DOCKER_HOST": host}) == ((80, address),)
