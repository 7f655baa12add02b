"""The verdict on one image: its stamp, its bytes, and the proofs of earlier looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from checkout import Checkout, image_fact, member

from unstale.facts import ArchiveMember, ImageFact
from unstale.image.check import LABEL_INPUTS, Judgement, judge, settle
from unstale.image.content import Comparison, Difference
from unstale.image.inputs import BuildInputs
from unstale.image.manifest import Manifest, manifest
from unstale.image.proof import Proof, Proofs
from unstale.verdict import Fresh, Missing, Reason, Stale, Unknown

if TYPE_CHECKING:
    from conftest import FakeDocker, FakeFiles

ID = "sha256:1"
APP = PurePosixPath("/app/app.py")
TEXT = "FROM base\nCOPY src /app/\n"
SAME = member(str(APP), "one")
OLD = member(str(APP), "two")


class Judging:
    """Judges one image by one checkout."""

    def __init__(self, checkout: Checkout, docker: FakeDocker, files: FakeFiles) -> None:
        self.checkout = checkout
        self.docker = docker
        self.proofs = Proofs(files, Path("/state"))
        self.text = TEXT
        self.stamped: Manifest | None = None

    @property
    def inputs(self) -> BuildInputs:
        return self.checkout.inputs(self.text)

    def image(self, label: str | None = "now", *layers: str) -> ImageFact:
        """An image whose stamp is *label*; ``now``: the digest of the tree."""
        digest = self.inputs.digest if label == "now" else label
        labels = {} if digest is None else {LABEL_INPUTS: digest}
        return image_fact(*(layers or ("sha256:base", "sha256:copy")), labels=labels)

    def __call__(self, fact: ImageFact | None, *held: ArchiveMember) -> Judgement:
        self.docker.archives[ID] = list(held)
        return judge(
            self.docker, fact, self.inputs, self.stamped, self.proofs, self.checkout.root.parent
        )


@pytest.fixture
def judging(
    checkout: Checkout, docker: FakeDocker, files: Callable[[Mapping[Path, str]], FakeFiles]
) -> Judging:
    checkout.images["base"] = image_fact("sha256:base")
    checkout.write({"src/app.py": "one"})
    return Judging(checkout, docker, files({}))


def test_no_image_is_missing(judging: Judging) -> None:
    assert judging(None) == Judgement(Missing(), "digest")


def test_the_right_stamp_and_equal_bytes_are_fresh(judging: Judging) -> None:
    assert judging(judging.image(), SAME) == Judgement(Fresh(), "content")


def test_an_image_with_more_layers_than_its_build_makes_only_inherits_the_stamp(
    judging: Judging,
) -> None:
    found = judging(judging.image("now", "sha256:base", "sha256:copy", "sha256:committed"), SAME)

    assert isinstance(found.verdict, Unknown)
    assert "3 layers" in found.verdict.why


def test_an_image_with_another_command_than_its_build_gives_only_inherits_the_stamp(
    judging: Judging,
) -> None:
    labels = {LABEL_INPUTS: judging.inputs.digest}
    found = judging(image_fact("sha256:base", "sha256:copy", labels=labels, Cmd=["other"]), SAME)

    assert isinstance(found.verdict, Unknown)


def test_bytes_that_were_proven_are_not_read_again(judging: Judging) -> None:
    judging(judging.image(), SAME)
    looked = list(judging.docker.looked)

    assert judging(judging.image()) == Judgement(Fresh(), "digest")
    assert judging.docker.looked == looked


def test_old_bytes_under_the_right_stamp_are_stale_and_no_proof(judging: Judging) -> None:
    expected = Reason("checkout/src/app.py", "modified", reader="checkout/Dockerfile:2")

    assert judging(judging.image(), OLD) == Judgement(Stale((expected,)), "content")
    assert judging.proofs.of(ID, judging.inputs.digest) is None


def test_a_file_that_the_image_lacks_is_stale(judging: Judging) -> None:
    found = judging(judging.image())

    assert isinstance(found.verdict, Stale)
    assert [reason.change for reason in found.verdict.reasons] == ["added"]


def test_a_proof_of_another_image_or_another_digest_is_none(judging: Judging) -> None:
    digest = judging.inputs.digest
    judging.proofs.keep(Proof("sha256:2", digest, 1))
    judging.proofs.keep(Proof(ID, "v1:sha256:other", 1))

    assert isinstance(judging(judging.image(), OLD).verdict, Stale)


def test_another_stamp_is_stale_by_what_it_was_made_of(judging: Judging) -> None:
    image, judging.stamped = judging.image(), manifest(judging.inputs)
    judging.checkout.write({"src/new.py": ""})

    expected = Reason("checkout/src/new.py", "added", reader="checkout/Dockerfile:2")
    assert judging(image, SAME) == Judgement(Stale((expected,)), "digest")
    assert judging.docker.looked == []


def test_a_digest_that_lacks_the_base_image_is_not_compared_with_one_that_has_it(
    judging: Judging,
) -> None:
    image, stamped = judging.image(), manifest(judging.inputs)
    judging.checkout.images.clear()

    expected = Judgement(Unknown("the base image base is not on this machine"), "digest")
    assert judging(image, OLD) == expected
    judging.stamped = stamped
    assert judging(image, OLD) == expected
    judging.text = "FROM another\nCOPY src /app/\n"
    assert isinstance(judging(image).verdict, Stale)


def test_without_the_base_image_a_file_that_is_not_there_proves_nothing(judging: Judging) -> None:
    image = judging.image(None)
    judging.checkout.images.clear()

    gone = judging(image)
    assert gone == Judgement(Unknown("the base image base is not on this machine"), "content")
    assert isinstance(judging(image, OLD).verdict, Stale)


def test_why_a_missing_base_image_keeps_a_dockerfile_from_being_followed(judging: Judging) -> None:
    judging.checkout.images["base"] = image_fact("sha256:base", Env=["SOURCE=src"])
    judging.text = "FROM base\nCOPY $SOURCE/app.py /app/\n"
    image = judging.image()
    judging.checkout.images.clear()

    found = judging(image).verdict

    assert isinstance(found, Unknown)
    assert found.why.startswith("the base image base is not on this machine; app.py is not in")


def test_another_stamp_of_unknown_making_is_stale_by_bytes(judging: Judging) -> None:
    image = judging.image("v1:sha256:old")

    changed = judging(image, OLD)
    assert isinstance(changed.verdict, Stale)
    assert [reason.path for reason in changed.verdict.reasons] == ["checkout/src/app.py"]
    equal = judging(image, SAME)
    assert equal == Judgement(Stale((Reason("build inputs", "configuration"),)), "digest")


def test_no_stamp_is_unknown_however_equal_the_bytes(judging: Judging) -> None:
    found = judging(judging.image(None), SAME)

    assert found.method == "content"
    assert found.verdict == Unknown(
        "the 1 files it copied are equal, but it carries no proof of its other inputs:"
        " build it with inv image.build"
    )
    assert judging.proofs.of(ID, judging.inputs.digest) is None


def test_no_stamp_and_other_bytes_are_stale(judging: Judging) -> None:
    found = judging(judging.image(None), OLD)

    assert found.method == "content"
    assert isinstance(found.verdict, Stale)


def test_no_stamp_and_nothing_copied_is_unknown(judging: Judging) -> None:
    judging.text = "FROM base\nRUN x\n"

    found = judging(judging.image(None))

    assert found.method == "time"
    assert isinstance(found.verdict, Unknown)


def test_a_stamp_of_another_scheme_is_unknown_and_never_stale(judging: Judging) -> None:
    found = judging(judging.image("v0:sha256:old"), SAME)

    assert isinstance(found.verdict, Unknown)
    assert "another version of unstale" in found.verdict.why


def test_what_can_not_be_told_is_unknown_under_the_right_stamp(judging: Judging) -> None:
    judging.text = f"{TEXT}ADD https://example.com/x /x\n"

    found = judging(judging.image(), SAME)

    assert found == Judgement(Unknown("ADD https://example.com/x (line 3)"), "digest")


def test_what_can_not_be_told_is_stale_under_another_stamp(judging: Judging) -> None:
    judging.text = f"{TEXT}ADD https://example.com/x /x\n"

    assert isinstance(judging(judging.image("v1:sha256:old"), SAME).verdict, Stale)


def test_an_image_that_does_not_begin_with_its_base_is_stale(judging: Judging) -> None:
    found = judging(judging.image("now", "sha256:former", "sha256:copy"), SAME)

    assert found == Judgement(Stale((Reason("base:base", "modified"),)), "digest")


# --- What a look into a stamped image is worth ---

PLAIN = Difference("src/app.py", APP, "modified")
DERIVED = replace(PLAIN, derived=True)


def settled(
    judging: Judging, *differences: Difference, rewritten: frozenset[str] = frozenset()
) -> object:
    return settle(
        ID,
        judging.inputs,
        Comparison(3, differences),
        judging.proofs,
        judging.checkout.root,
        rewritten,
    )


def test_no_difference_is_kept_as_a_proof(judging: Judging) -> None:
    assert settled(judging) == Fresh()
    digest = judging.inputs.digest
    assert judging.proofs.of(ID, digest) == Proof(ID, digest, 3)


def test_a_file_that_nothing_can_have_rewritten_is_stale(judging: Judging) -> None:
    assert isinstance(settled(judging, PLAIN, DERIVED), Stale)
    # Even where it was said that a RUN rewrites it.
    assert isinstance(settled(judging, PLAIN, rewritten=frozenset({str(APP)})), Stale)
    assert judging.proofs.of(ID, judging.inputs.digest) is None


def test_a_file_that_a_run_may_have_rewritten_is_unknown(judging: Judging) -> None:
    found = settled(judging, DERIVED)

    assert isinstance(found, Unknown)
    assert "src/app.py first" in found.why
    assert judging.proofs.of(ID, judging.inputs.digest) is None


def test_a_file_that_a_run_is_known_to_rewrite_is_fresh_and_noted(judging: Judging) -> None:
    known = frozenset({str(APP), "/app/other"})

    assert settled(judging, DERIVED, rewritten=known) == Fresh()
    digest = judging.inputs.digest
    assert judging.proofs.of(ID, digest) == Proof(ID, digest, 3, (str(APP),))
