"""What the local engine makes of a Dockerfile without a context.

Never build a text without a FROM here: ARG lines alone make BuildKit 0.13
panic, and the whole engine goes down with it.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
import uuid
from pathlib import Path
from typing import Any


class RefusedError(Exception):
    """The builder's last words."""


def _build(text: str, *options: str) -> bytes:
    assert "FROM scratch" in text
    with tempfile.TemporaryDirectory(prefix="unstale-parser-") as folder:
        # Not on stdin: buildx would leave a copy in the temporary folder.
        place = Path(folder, "Dockerfile")
        place.write_bytes(text.encode(errors="surrogateescape"))
        context = Path(folder, "context")
        context.mkdir()
        found = subprocess.run(
            ["docker", "buildx", "build", "--quiet", *options, f"--file={place}", context],
            capture_output=True,
            timeout=300,
            check=False,
        )
    if found.returncode:
        said = found.stderr.decode(errors="replace").strip().splitlines()[-1]
        refusals = ("failed to solve: ", "failed to run Build function: ")
        assert any(words in said for words in refusals), said  # anything else is no answer
        raise RefusedError(said)
    return found.stdout


def check(text: str) -> None:
    """Build *text*, keep nothing.

    Raises:
        RefusedError: it can't be built.

    """
    _build(text, "--output=type=cacheonly")


def config(text: str) -> dict[str, Any]:
    """The image's Config; the image is gone afterwards.

    Raises:
        RefusedError: it can't be built.

    """
    mark = f"unstale.parser={uuid.uuid4().hex}"  # no other image can be the same one
    image = _build(text, "--load", f"--label={mark}").decode().strip()
    try:
        found = subprocess.run(
            ["docker", "image", "inspect", image], capture_output=True, check=True
        )
    finally:
        subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=True)
    inspected: dict[str, Any] = json.loads(found.stdout)[0]["Config"]
    return inspected


def content(text: str) -> dict[str, bytes]:
    """The files of the image that *text* makes.

    Raises:
        RefusedError: it can't be built.

    """
    with tarfile.open(fileobj=io.BytesIO(_build(text, "--output=type=tar,dest=-"))) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {member.name: archive.extractfile(member).read() for member in files}  # type: ignore[union-attr]
