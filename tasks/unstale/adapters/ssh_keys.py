"""Signatures by ssh keys, through ssh-keygen of OpenSSH 8.2 or newer."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from unstale.adapters.docker_words import last_words
from unstale.errors import ConfigError, Mismatch, Unavailable
from unstale.ports import Command, CommandResult, Process

__all__ = ["SshKeys"]

# A key in a token waits for a finger.
_SIGN_S = 30.0
_CHECK_S = 10.0
# Nobody is there to be asked, not by a window either.
_SILENT = {"SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
_ASKING = ("SSH_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY")
_TOO_OLD = re.compile(r"unknown option|illegal option|unsupported operation", re.IGNORECASE)


class SshKeys:
    """Signs with a key of an agent or a file; checks by a file of allowed signers."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def sign(self, message: bytes, key: Path, namespace: str) -> str:
        """An armored signature of *message*.

        *key* is a private key's file, or a public one's whose private key an agent has.

        Raises:
            Unavailable: there is no ssh-keygen that can, or it could not use the key.

        """
        argv = ("-Y", "sign", "-n", namespace, "-f", str(key))
        result = self._keygen(argv, message, _SIGN_S)
        if result.returncode != 0:
            raise Unavailable(
                "ssh-keygen could not sign.",
                cause=last_words(result.stderr, 1),
                hint="ssh-add -l; a key with a passphrase has to be in an agent",
            )
        return result.stdout

    def signer(self, message: bytes, signature: str, allowed: Path, namespace: str) -> str | None:
        """Who of the file *allowed* signed *message*; None if nobody of it did.

        Raises:
            Mismatch: somebody of it signed, and something else than this.
            ConfigError: there is no such file.
            Unavailable: there is no ssh-keygen that can tell.

        """
        if not allowed.is_file():
            raise ConfigError(
                "The file of allowed signers is not there.",
                cause="`allowed-signers` or --allowed-signers names a file that does not exist.",
                hint="man ssh-keygen, ALLOWED SIGNERS",
            )
        # Its own folder: the name of a file in a shared one could be somebody's link.
        with tempfile.TemporaryDirectory(prefix="unstale-") as folder:
            path = Path(folder) / "signature"
            path.write_text(signature, encoding="ascii")
            files = ("-s", str(path), "-f", str(allowed))
            found = self._keygen(("-Y", "find-principals", *files), b"", _CHECK_S)
            names = found.stdout.replace(",", "\n").splitlines()
            who = next((n for n in map(str.strip, names) if n and not n.startswith("!")), None)
            if found.returncode != 0 or who is None:
                return None
            check = ("-Y", "verify", "-n", namespace, "-I", who, *files)
            result = self._keygen(check, message, _CHECK_S)
        if result.returncode != 0:
            raise Mismatch(
                f"The signature of {who!r} does not hold.", cause=last_words(result.stderr, 1)
            )
        return who

    def _keygen(self, arguments: tuple[str, ...], stdin: bytes, deadline_s: float) -> CommandResult:
        command = Command(
            ("ssh-keygen", *arguments), deadline_s, stdin=stdin, env=_SILENT, unset=_ASKING
        )
        try:
            result = self._process.run(command)
        except Unavailable as error:
            if "no program" not in error.what:
                raise
            raise Unavailable(
                "There is no ssh-keygen.",
                cause="ssh signatures are made and checked with it.",
                hint="install OpenSSH 8.2 or newer (apt-get install openssh-client)",
            ) from error
        if result.returncode != 0 and _TOO_OLD.search(result.stderr):
            raise Unavailable(
                "This ssh-keygen can't sign.",
                cause=last_words(result.stderr, 1),
                hint="install OpenSSH 8.2 or newer",
            )
        return result
