"""The real readers of env files: compose and python-dotenv. Needs no engine."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from unstale.errors import ConfigError

SHELL = {"HOSTVAR": "fromhost"}
"""What compose's own process has, besides what it needs to run."""

CHUNK = 40
"""Files in one call: compose refuses all together, so the more, the more calls."""

Values = Mapping[str, str | None]


@dataclass
class Compose:
    """`docker compose config` in an empty folder, with a shell that is known."""

    folder: Path
    calls: int = 0

    def __call__(self, model: Mapping[str, object]) -> Mapping[str, object]:
        self.calls += 1
        done = subprocess.run(
            ("docker", "compose", "-p", "dialect", "-f", "-", "config", "--format", "json"),
            input=json.dumps(model).encode(),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **SHELL},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise ConfigError("docker compose refuses.", cause=done.stderr.decode())
        return json.loads(done.stdout)


def compose_values(compose: Compose, files: Mapping[str, Path]) -> Mapping[str, Values | None]:
    """Each file as compose resolves it; None if it refuses it.

    Written without the product's own request, which is on trial.
    """
    if not files:
        return {}
    services = {name: {"image": "x", "env_file": str(path)} for name, path in files.items()}
    try:
        model = compose({"services": services})
    except ConfigError:
        if len(files) == 1:
            return dict.fromkeys(files)
        items = list(files.items())
        half = len(items) // 2
        return {
            **compose_values(compose, dict(items[:half])),
            **compose_values(compose, dict(items[half:])),
        }
    resolved = model["services"]
    assert isinstance(resolved, dict)
    return {
        name: {
            key.replace("$$", "$"): value if value is None else value.replace("$$", "$")
            for key, value in (resolved[name].get("environment") or {}).items()
        }
        for name in files
    }


def dotenv_values(raw: bytes) -> Values | None:
    """What `dotenv_values` itself gives in the same shell; None if it refuses the bytes."""
    from dotenv import dotenv_values as read

    path = {"PATH": os.environ["PATH"]}
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    with mock.patch.dict(os.environ, {**path, **SHELL}, clear=True):
        # An open file's newlines are translated; python-dotenv opens it so.
        return dict(read(stream=io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")))


def unlike(one: Values, other: Values) -> set[str]:
    """Keys that are not the same; one without a value is like none."""
    return {key for key in {**one, **other} if one.get(key) != other.get(key)}
