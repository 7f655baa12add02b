"""Which key signs, which ones count, and which receipt is meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from unstale.adapters.ssh_keys import SshKeys
from unstale.config import ReceiptSettings, load
from unstale.errors import ConfigError, MissingFile, Unavailable, UsageError
from unstale.pipeline import shelf, signing
from unstale.pipeline.signature import decode, encode, hmac_matches, hmac_signed
from unstale.ports import Command, CommandResult, Files, Process

KEY = "0123456789abcdef"


class Disk:
    """The real files, as far as they are asked for here."""

    def read_text(self, path: Path) -> str:
        return self.read_bytes(path).decode()

    def read_bytes(self, path: Path) -> bytes:
        if not path.is_file():
            raise MissingFile(f"There is no file {path}.")
        return path.read_bytes()

    def exists(self, path: Path) -> bool:
        return path.exists()

    def glob(self, root: Path, pattern: str) -> tuple[Path, ...]:
        return tuple(sorted(root.glob(pattern)))


FILES = cast("Files", Disk())
SSH = cast("signing.Ssh", None)


def _settings(root: Path, text: str, environ: dict[str, str] | None = None) -> ReceiptSettings:
    (root / "pyproject.toml").write_text(f"[tool.unstale.receipts]\n{text}\n")
    return load(root, FILES, environ or {}).receipts


# Settings


def test_a_key_is_named_by_its_place(tmp_path: Path) -> None:
    found = _settings(tmp_path, 'sign = "ssh"\nkey = "keys/ci.pub"\nallowed-signers = "~/signers"')

    assert found.key == tmp_path / "keys/ci.pub"
    assert found.allowed_signers == Path.home() / "signers"


def test_ci_signs_by_variables_alone(tmp_path: Path) -> None:
    environ = {"UNSTALE_RECEIPTS_SIGN": "hmac", "UNSTALE_RECEIPTS_KEY_ENV": "SIGNING"}

    assert _settings(tmp_path, "", environ) == ReceiptSettings("hmac", None, "SIGNING")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('sing = "ssh"', "Did you mean 'sign'?"),
        ('sign = "gpg"', "One of: ssh, hmac."),
        ('sign = "hmac"', "needs 'key', a file, or 'key-env', a variable."),
        ('sign = "ssh"\nkey-env = "A"', "needs 'key', a file."),
        ('sign = "hmac"\nkey = "a"\nkey-env = "A"', "needs 'key', a file, or 'key-env'"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as info:
        _settings(tmp_path, text)

    assert words in str(info.value)


@pytest.mark.parametrize(
    "text", ["runs = 0", "runs = true", 'runs = "9"', "images = -1", "rums = 9"]
)
def test_what_is_kept_is_a_number(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.unstale.keep]\n{text}\n")

    with pytest.raises(ConfigError, match=r"\[tool\.unstale\.keep\]"):
        load(tmp_path, FILES, {})


# Keys


def test_a_shared_key_comes_from_a_file_or_a_variable(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    by_file = signing.sign(ReceiptSettings("hmac", tmp_path / "key"), FILES, {}, SSH)
    by_name = signing.sign(ReceiptSettings("hmac", None, "K"), FILES, {"K": KEY}, SSH)
    assert by_file is not None
    assert by_name is not None

    assert by_file(b"{}") == by_name(b"{}")
    assert hmac_matches(decode(encode(by_file(b"{}"))), KEY.encode())


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        (ReceiptSettings("hmac", Path("/nowhere/secret-key")), {}),
        (ReceiptSettings("hmac", None, "K"), {}),
        (ReceiptSettings("hmac", None, "K"), {"K": "secret-key"}),
        (ReceiptSettings("ssh", Path("/nowhere/secret-key")), {}),
    ],
    ids=["no file", "no variable", "short", "no ssh key"],
)
def test_a_key_that_is_no_good_ends_a_run_before_it_begins(
    settings: ReceiptSettings, environ: dict[str, str]
) -> None:
    with pytest.raises(ConfigError) as info:
        signing.sign(settings, FILES, environ, SSH)

    # What somebody wrote in place of a file's name may be the key.
    assert "secret-key" not in str(info.value)


def test_what_is_given_to_check_with_counts_alone(tmp_path: Path) -> None:
    (tmp_path / "given").write_text(KEY[::-1])
    settings = ReceiptSettings("hmac", None, "K", tmp_path / "signers")

    configured = signing.keys(settings, FILES, {"K": KEY}, SSH)
    given = signing.keys(settings, FILES, {"K": KEY}, SSH, hmac_key_file=tmp_path / "given")

    assert configured.shared == KEY.encode()
    assert configured.signer is not None
    assert given == signing.Keys(KEY[::-1].encode(), None)


def test_a_variable_that_is_not_set_here_is_no_key_to_check_with() -> None:
    assert signing.keys(ReceiptSettings("hmac", None, "K"), FILES, {}, SSH) == signing.Keys()


def test_an_ssh_keygen_that_is_missing_or_too_old_is_told() -> None:
    class Missing:
        def run(self, command: Command) -> CommandResult:
            raise Unavailable(f"There is no program called {command.argv[0]}.")

    class Old:
        def run(self, command: Command) -> CommandResult:
            del command
            return CommandResult(1, "", "unknown option -- Y\nusage: ssh-keygen", 0.0)

    for process in (Missing(), Old()):
        with pytest.raises(Unavailable) as info:
            SshKeys(cast("Process", process)).sign(b"", Path("key"), "ns")
        assert "OpenSSH 8.2 or newer" in info.value.hint


# Which one is meant

STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [],
    "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
    "predicate": {
        "result": "PASSED",
        "configuration": [],
        "passedTests": [],
        "failedTests": [],
        "annotations": {
            "outcome": "proven",
            "started": "",
            "environment": "test",
            "revision": None,
            "dirty": False,
            "schema": None,
            "skipped": 0,
            "steps": [],
        },
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, stem in enumerate(("20260101T000000Z-aa", "20260102T000000Z-bb", "latest")):
        last = min(number, 1)
        text = json.dumps({**STATEMENT, "number": last})
        (tmp_path / f"{stem}.json").write_text(text)
        if stem != "latest":
            envelope = encode(hmac_signed(text.encode(), KEY.encode()))
            (tmp_path / f"{stem}.dsse.json").write_text(envelope)
    return tmp_path


@pytest.mark.parametrize(
    ("which", "name"),
    [
        ("latest", "latest.json"),
        ("aa", "20260101T000000Z-aa.json"),
        ("20260101T000000Z-aa", "20260101T000000Z-aa.json"),
        ("20260101T000000Z-aa.json", "20260101T000000Z-aa.json"),
    ],
)
def test_a_receipt_is_found_by_what_it_is_called(folder: Path, which: str, name: str) -> None:
    found = shelf.find(FILES, folder, which)

    assert found.path == folder / name
    assert found.envelope is not None
    assert decode(found.envelope).payload == found.raw


def test_a_path_need_not_be_in_the_checkout(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = (folder / "20260101T000000Z-aa.json").rename(tmp_path / "elsewhere" / "mine.json")

    assert shelf.find(FILES, folder, str(path)).envelope is None


def test_the_latest_one_has_no_signature_of_another(folder: Path) -> None:
    (folder / "latest.json").write_text(json.dumps({**STATEMENT, "number": 7}))

    assert shelf.find(FILES, folder, "latest").envelope is None


def test_what_is_not_there_is_told_with_what_is(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile) as info:
        shelf.find(FILES, folder, "cc")
    assert "20260102T000000Z-bb, 20260101T000000Z-aa" in info.value.cause

    with pytest.raises(MissingFile, match="no receipt yet"):
        shelf.find(FILES, tmp_path / "none", "latest")


def test_an_id_that_two_runs_have_is_refused(folder: Path) -> None:
    (folder / "20260103T000000Z-aa.json").write_text(json.dumps(STATEMENT))

    with pytest.raises(UsageError, match="20260101T000000Z-aa, 20260103T000000Z-aa"):
        shelf.find(FILES, folder, "aa")
