"""A Podman of one's own: its service, storage and networks in one folder, ended by its id."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

# With the cgroups of version 1 that some machines have, crun refuses to begin.
_RUNTIME = "runc" if shutil.which("runc") else "crun"


def require_podman() -> None:
    """Skip where there is no Podman; in CI that is a failure."""
    missing = [name for name in ("podman", "catatonit", "netavark") if not _has(name)]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI has no {', '.join(missing)}: see .ci/run")
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (apt install podman catatonit netavark)")


def _has(name: str) -> bool:
    folders = (*os.get_exec_path(), "/usr/lib/podman", "/usr/libexec/podman")
    return any((Path(folder) / name).exists() for folder in folders)


def _configured(folder: Path) -> Mapping[str, str]:
    storage = {"driver": "overlay", "graphroot": folder / "root", "runroot": folder / "run"}
    (folder / "storage.conf").write_text(f"[storage]\n{_toml(storage)}")
    limits = json.dumps(["nofile=1024:1024", "nproc=1024:1024"])
    engine = {
        "cgroup_manager": "cgroupfs",
        "events_logger": "file",
        "runtime": _RUNTIME,
        "tmp_dir": folder / "tmp",
    }
    network = {"network_backend": "netavark", "network_config_dir": folder / "networks"}
    (folder / "containers.conf").write_text(
        f'[containers]\nlog_driver = "k8s-file"\ndefault_ulimits = {limits}\n'
        f"[engine]\n{_toml(engine)}[network]\n{_toml(network)}"
    )
    files = {"CONTAINERS_STORAGE_CONF": "storage.conf", "CONTAINERS_CONF": "containers.conf"}
    return {**os.environ, **{name: str(folder / file) for name, file in files.items()}}


def _toml(table: Mapping[str, object]) -> str:
    return "".join(f'{key} = "{value}"\n' for key, value in table.items())


@contextmanager
def podman(folder: Path) -> Iterator[str]:
    """Podman's service while the block goes on: what DOCKER_HOST is for it."""
    require_podman()
    path = folder / "podman.sock"
    environ = _configured(folder)
    argv = ("podman", "system", "service", "--time", "0", f"unix://{path}")
    with (folder / "service.log").open("wb") as log:
        service = subprocess.Popen(argv, env=environ, stdout=log, stderr=log)
    try:
        _wait_for(path, service)
        yield f"unix://{path}"
    finally:
        remove = ("podman", "rm", "--all", "--force", "--time", "0")
        subprocess.run(remove, env=environ, capture_output=True, timeout=60, check=False)
        service.terminate()
        service.wait(timeout=20)
        # Layers stay mounted else, and pytest could not remove the folder.
        reset = ("podman", "system", "reset", "--force")
        subprocess.run(reset, env=environ, capture_output=True, timeout=60, check=False)


def _wait_for(path: Path, service: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert service.poll() is None, path.with_name("service.log").read_text()
        with socket.socket(socket.AF_UNIX) as link:
            if link.connect_ex(str(path)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("Podman's service does not answer within 30 s")


def give(host: str, *images: str) -> None:
    """Bring *images* of the machine's own engine to Podman."""
    here = {k: v for k, v in os.environ.items() if k != "DOCKER_HOST"}
    save = subprocess.Popen(("docker", "save", *images), env=here, stdout=subprocess.PIPE)
    load = ("docker", "--host", host, "load")
    subprocess.run(load, stdin=save.stdout, capture_output=True, check=True, timeout=120)
    assert save.stdout is not None
    save.stdout.close()
    assert save.wait(timeout=10) == 0
