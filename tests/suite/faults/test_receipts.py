"""Receipts of real runs: genuine or not, and about what is here or about something else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Checkout, Result
from lightstack import behave, fresh, gone

from unstale.errors import Outcome, UnstaleError, outcome_of
from unstale.project import Project

KEY = "0123456789abcdef" * 4
SIGNED = {
    "UNSTALE_RECEIPTS_SIGN": "hmac",
    "UNSTALE_RECEIPTS_KEY_ENV": "TEST_SIGNING_KEY",
    "TEST_SIGNING_KEY": KEY,
}


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A project in git, and one run of it, whose receipt is signed."""
    checkout = fresh(tmp_path_factory.mktemp("signed"))
    (checkout.root / ".gitignore").write_text(".unstale/\n.env.test\n")
    (checkout.root / ".env.test").touch()
    checkout.git("init", "--quiet")
    checkout.git("add", ".")
    checkout.git("commit", "--quiet", "--message", "Begin")
    result = checkout.inv("test.integration", "--json", env=SIGNED).must(0)
    assert KEY not in result.text
    yield checkout
    gone(checkout)


def _receipt(checkout: Checkout) -> Path:
    (path,) = (
        p
        for p in (checkout.root / ".unstale/receipts").glob("2*-*.json")
        if not p.name.endswith(".dsse.json")
    )
    return path


def _verify(checkout: Checkout, *arguments: str, env: dict[str, str] | None = None) -> Result:
    return checkout.inv("receipt.verify", "--json", *arguments, env=SIGNED if env is None else env)


def _differing(result: Result) -> list[tuple[str, str | None]]:
    checks = result.document()["checks"]
    return [(c["name"], c["service"]) for c in checks if c["verdict"] != "holds"]


def test_a_signed_receipt_holds_for_what_is_here(signed: Checkout) -> None:
    answer = _verify(signed).must(0).document()
    page = ("--html", "report.html")
    shown = signed.inv("receipt.show", *page, env=SIGNED).must(0).out

    assert answer["schema"] == "unstale/receipt-verify@1"
    assert (answer["outcome"], answer["code"]) == ("proven", 0)
    assert answer["signature"]["state"] == "valid"
    assert [c["name"] for c in answer["checks"]] == [
        *("signature", "result", "revision", "uncommitted", "subject"),
        *("inputs", "inputs", "image", "image"),
    ]
    assert "PASSED (proven)" in shown
    assert (signed.root / "report.html").read_text().startswith("<!DOCTYPE html>")
    (signed.root / "report.html").unlink()
    assert "signed by the shared key hmac-sha256:" in shown
    assert "1 passed, 0 failed, 0 skipped" in shown
    assert signed.git("rev-parse", "HEAD").strip() in shown
    left = signed.root / ".unstale"
    assert not any(KEY in p.read_text("utf-8", "replace") for p in left.rglob("*") if p.is_file())


@pytest.mark.long
def test_which_key_counts_decides(signed: Checkout, tmp_path: Path) -> None:
    (tmp_path / "right").write_text(f"{KEY}\n")
    (tmp_path / "wrong").write_text(KEY[::-1])
    envelope = next((signed.root / ".unstale/receipts").glob("*.dsse.json"))
    (tmp_path / "alone.json").write_bytes(_receipt(signed).read_bytes())

    _verify(signed, "--hmac-key-file", str(tmp_path / "right"), env={}).must(0)
    wrong = _verify(signed, "--hmac-key-file", str(tmp_path / "wrong"), env={}).must(3)
    assert _differing(wrong) == [("signature", None)]
    no_key = _verify(signed, env={}).must(4)
    assert no_key.document()["signature"]["state"] == "unchecked"
    alone = ("--receipt", str(tmp_path / "alone.json"))
    assert _differing(_verify(signed, *alone).must(3)) == [("signature", None)]
    assert _verify(signed, *alone, env={}).must(0).document()["signature"]["state"] == "none"
    _verify(signed, *alone, "--require-signature", env={}).must(3)
    assert envelope.name == f"{_receipt(signed).stem}.dsse.json"


@pytest.mark.long
def test_what_is_no_receipt_or_not_there_is_2(signed: Checkout, tmp_path: Path) -> None:
    (tmp_path / "half.json").write_bytes(_receipt(signed).read_bytes()[:300])

    half = _verify(signed, "--receipt", str(tmp_path / "half.json")).must(2).document()
    nowhere = _verify(signed, "--receipt", "nowhere").must(2).document()

    assert (half["outcome"], half["what"]) == ("content", "half.json is no receipt.")
    assert (nowhere["outcome"], nowhere["what"]) == (
        "missing file",
        "There is no receipt 'nowhere'.",
    )


def _outcome(project: Project, path: Path) -> Outcome:
    try:
        return project.receipt_verify(path.stem).outcome
    except UnstaleError as error:
        return outcome_of(error)


def test_no_flipped_byte_goes_unseen(signed: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SIGNED.items():
        monkeypatch.setenv(name, value)
    path = _receipt(signed)
    whole = path.read_bytes()
    project = Project.open(signed.root)
    assert project.receipt_verify(path.stem).outcome is Outcome.PROVEN

    try:
        for at in range(3, len(whole), len(whole) // 8):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert _outcome(project, path) in (Outcome.MISMATCH, Outcome.USAGE), at
    finally:
        path.write_bytes(whole)


def test_a_receipt_of_another_tree_does_not_hold(signed: Checkout) -> None:
    app, begin = signed.root / "app" / "check.py", signed.git("rev-parse", "HEAD").strip()
    services = [("subject", None), ("inputs", "db"), ("inputs", "test-runner")]
    try:
        app.write_text(f"{app.read_text()}\n# changed\n")
        edited = _verify(signed).must(3)
        assert _differing(edited) == [("uncommitted", None), *services]
        assert "the receipt is about v1:sha256:" in edited.out
        signed.git("commit", "--quiet", "--all", "--message", "Change")
        assert _differing(_verify(signed).must(3)) == [("revision", None), *services]
        text = signed.inv("receipt.verify", env=SIGNED).must(3).out
        assert "DIFFERS" in text
        assert "inputs of test-runner" in text
    finally:
        signed.git("reset", "--quiet", "--hard", begin)


def test_an_env_file_that_git_does_not_see_is_told(signed: Checkout) -> None:
    behave(signed, LIGHT_SECONDS="1.4")
    try:
        found = _verify(signed).must(3)
    finally:
        (signed.root / ".env.test").write_text("")

    assert _differing(found) == [("subject", None)]
    assert "what compose resolves is not the same" in found.out


def _told(run: Result) -> tuple[dict[str, Any], dict[str, Any]]:
    answer = run.document()
    return answer, json.loads(Path(answer["receipt"]).read_text())["predicate"]


@pytest.mark.long
def test_a_signature_that_fails_turns_green_into_5_and_leaves_red_red(
    signed: Checkout, tmp_path: Path
) -> None:
    key = tmp_path / "id"
    argv = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "a long one", "-f", str(key))
    subprocess.run(argv, check=True)
    by_ssh = {"UNSTALE_RECEIPTS_SIGN": "ssh", "UNSTALE_RECEIPTS_KEY": str(key), "SSH_AUTH_SOCK": ""}

    answer, predicate = _told(signed.inv("test.integration", "--json", env=by_ssh).must(5))
    assert (answer["outcome"], answer["tests"]["passed"]) == ("receipt failed", 1)
    assert "The receipt could not be signed." in answer["errors"][0]
    assert predicate["result"] == "FAILED"
    assert predicate["annotations"]["outcome"] == "receipt failed"
    assert not Path(answer["receipt"]).with_suffix(".dsse.json").exists()

    behave(signed, LIGHT_TESTS="fail")
    try:
        answer, predicate = _told(signed.inv("test.integration", "--json", env=by_ssh).must(1))
    finally:
        (signed.root / ".env.test").write_text("")
    assert answer["outcome"] == "tests failed"
    assert "could not be signed" in answer["errors"][-1]
    assert predicate["annotations"]["outcome"] == "tests failed"
    assert signed.leftovers() == []

    gone_key = {**by_ssh, "UNSTALE_RECEIPTS_KEY": str(tmp_path / "nowhere")}
    missing = signed.inv("test.integration", "--json", env=gone_key).must(2).document()
    assert missing["what"] == "The key that signs receipts is not there."


@pytest.mark.long
def test_an_ssh_key_of_the_project_signs_and_checks(signed: Checkout, tmp_path: Path) -> None:
    key = tmp_path / "id"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)), check=True)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"robin@example.com {key.with_name('id.pub').read_text()}")
    env = {
        "UNSTALE_RECEIPTS_SIGN": "ssh",
        "UNSTALE_RECEIPTS_KEY": str(key),
        "UNSTALE_RECEIPTS_ALLOWED_SIGNERS": str(allowed),
    }

    signed.inv("test.integration", "--json", env=env).must(0)
    seal = _verify(signed, env=env).must(0).document()["signature"]
    assert (seal["state"], seal["method"], seal["signer"]) == ("valid", "ssh", "robin@example.com")

    allowed.write_text("")
    unknown = _verify(signed, "--allowed-signers", str(allowed), env={}).must(3)
    assert "nobody who may sign" in unknown.document()["signature"]["detail"]
    no_keygen = {**env, "PATH": _without_ssh_keygen(tmp_path)}
    missing = _verify(signed, env=no_keygen).must(5).document()
    assert missing["what"] == "There is no ssh-keygen."


def _without_ssh_keygen(folder: Path) -> str:
    """A search path on which only git and docker are."""
    here = folder / "bin"
    here.mkdir()
    for name in ("git", "docker"):
        found = next(p for p in os.environ["PATH"].split(":") if (Path(p) / name).exists())
        (here / name).symlink_to(Path(found) / name)
    return str(here)


def test_a_receipt_that_anybody_could_have_planted_spares_no_run(signed: Checkout) -> None:
    def steps() -> list[str]:
        run = signed.inv("test.integration", "--reuse", "--json", env=SIGNED).must(0)
        return [step["name"] for step in run.document()["steps"]]

    assert "run_tests" not in steps()
    for envelope in (signed.root / ".unstale/receipts").glob("*.dsse.json"):
        envelope.unlink()

    assert "run_tests" in steps()
