"""Real ssh keys, real ssh-keygen: who signed a receipt, and whether that holds."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from unstale.adapters.process import SystemProcess
from unstale.adapters.ssh_keys import SshKeys
from unstale.errors import ConfigError, Unavailable
from unstale.pipeline.signature import (
    NAMESPACE,
    Envelope,
    armored,
    decode,
    encode,
    ssh_signature,
    ssh_signed,
    unarmored,
)
from unstale.pipeline.vouch import Keys, Seal, seal

RAW = b'{"result": "PASSED"}\n'
SSH = SshKeys(SystemProcess())


def _key(path: Path, *flags: str, passphrase: str = "") -> Path:
    argv = ("ssh-keygen", "-q", "-C", "test", "-N", passphrase, "-f", str(path), *flags)
    subprocess.run(argv, check=True)
    return path


def _allow(folder: Path, *lines: str) -> Path:
    path = folder / "allowed"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def _public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text().strip()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _key(tmp_path_factory.mktemp("keys") / "id", "-t", "ed25519")


def _signed(raw: bytes, key: Path, namespace: str = NAMESPACE) -> Envelope:
    message = Envelope(raw, "", b"").message
    return ssh_signed(raw, unarmored(SSH.sign(message, key, namespace)))


def _sealed(envelope: str, allowed: Path, raw: bytes = RAW) -> Seal:
    signer = Keys(signer=lambda message, text: SSH.signer(message, text, allowed, NAMESPACE))
    return seal(raw, envelope, signer)


@pytest.mark.parametrize("flags", [("-t", "ed25519"), ("-t", "ecdsa"), ("-t", "rsa", "-b", "2048")])
def test_a_signature_of_each_kind_of_key_names_its_signer(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    key = _key(tmp_path / "id", *flags)
    allowed = _allow(tmp_path, f"robin@example.com {_public(key)}")

    found = _sealed(encode(_signed(RAW, key)), allowed)

    assert (found.state, found.signer) == ("valid", "robin@example.com")
    printed = subprocess.run(
        ("ssh-keygen", "-lf", str(key)), check=True, capture_output=True, text=True
    )
    assert found.key_id == printed.stdout.split()[1]


def test_an_armor_is_what_ssh_keygen_wrote(key: Path) -> None:
    text = SSH.sign(b"message", key, NAMESPACE)

    assert armored(unarmored(text)) == text
    assert ssh_signature(unarmored(text)).namespace == NAMESPACE


@pytest.mark.parametrize(
    ("line", "state", "words"),
    [
        ("robin@example.com {key}", "valid", "robin@example.com"),
        ('a@example.com,b@example.com namespaces="receipt@unstale.dev" {key}', "valid", "a@"),
        ("*@example.com {key}", "valid", "signed by"),
        ('robin@example.com namespaces="git" {key}', "invalid", ""),
        ('robin@example.com valid-before="20200101" {key}', "invalid", ""),
        ("", "invalid", "nobody who may sign"),
        ("robin@example.com {other}", "invalid", "nobody who may sign"),
    ],
    ids=["one", "two names", "pattern", "for git", "expired", "nobody", "another key"],
)
def test_who_may_sign_is_what_the_file_says(
    line: str, state: str, words: str, key: Path, tmp_path: Path
) -> None:
    other = _key(tmp_path / "other", "-t", "ed25519")
    allowed = _allow(tmp_path, line.format(key=_public(key), other=_public(other)))

    found = _sealed(encode(_signed(RAW, key)), allowed)

    assert found.state == state
    assert words in found.detail


def test_a_signature_for_something_else_is_none_of_a_receipt(key: Path, tmp_path: Path) -> None:
    allowed = _allow(tmp_path, f"robin@example.com {_public(key)}")

    found = _sealed(encode(_signed(RAW, key, "git")), allowed)

    assert found.state == "invalid"
    assert "signed as 'git'" in found.detail


def test_every_tenth_byte_of_a_signature_counts(key: Path, tmp_path: Path) -> None:
    allowed = _allow(tmp_path, f"robin@example.com {_public(key)}")
    whole = encode(_signed(RAW, key)).encode()
    assert _sealed(whole.decode(), allowed).state == "valid"

    for at in range(0, len(whole), 10):
        changed = bytearray(whole)
        changed[at] ^= 1
        assert _sealed(changed.decode("utf-8", "surrogateescape"), allowed).state == "invalid", at


def test_a_blob_that_is_of_the_key_and_not_of_the_message_does_not_hold(
    key: Path, tmp_path: Path
) -> None:
    allowed = _allow(tmp_path, f"robin@example.com {_public(key)}")
    other = _signed(b"{}", key)
    replayed = encode(Envelope(RAW, other.key_id, other.signature))

    assert decode(replayed).payload == RAW
    found = _sealed(replayed, allowed)
    assert found.state == "invalid"
    assert "the signature of 'robin@example.com' does not hold" in found.detail


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent of its own."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(("ssh-agent", "-D", "-a", str(socket)), stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    try:
        while not socket.exists():
            assert process.poll() is None
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.usefixtures("agent")
def test_an_agent_signs_for_a_public_key(tmp_path: Path) -> None:
    key = _key(tmp_path / "id", "-t", "ed25519")
    subprocess.run(("ssh-add", "-q", str(key)), check=True)
    allowed = _allow(tmp_path, f"robin@example.com {_public(key)}")
    key.unlink()

    assert _sealed(encode(_signed(RAW, Path(f"{key}.pub"))), allowed).state == "valid"


def test_a_key_with_a_passphrase_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    window = tmp_path / "window"
    window.write_text(f"#!/bin/sh\ntouch {asked}\n")
    window.chmod(0o700)
    monkeypatch.setenv("SSH_ASKPASS", str(window))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = _key(tmp_path / "id", "-t", "ed25519", passphrase="a long one")

    with pytest.raises(Unavailable) as info:
        SSH.sign(RAW, key, NAMESPACE)

    assert "in an agent" in info.value.hint
    assert info.value.cause
    assert not asked.exists()


def test_a_file_of_signers_that_is_not_there_is_told(key: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not there"):
        _sealed(encode(_signed(RAW, key)), tmp_path / "nowhere")


def test_nothing_is_left_in_the_temporary_folder(
    key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = _allow(tmp_path, f"robin@example.com {_public(key)}")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    assert _sealed(encode(_signed(RAW, key)), allowed).state == "valid"

    assert list(temporary.iterdir()) == []
