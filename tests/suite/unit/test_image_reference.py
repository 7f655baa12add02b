"""The form of an image's name: what the builder took and refused, BuildKit 0.13."""

from __future__ import annotations

import pytest

from unstale.image.reference import why_refused

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "reference",
    [
        "base",
        "base:Tag_1.x-y",
        "a__b",
        "a--b.c_d",
        "team/tools:3",
        "EX.example.com/foo",
        "Ex/foo",
        "FOO/x",
        "localhost/x",
        "localhost:5/foo:1",
        "[::1]:5/foo",
        "docker.io/foo",
        "docker.io/library/foo",
        f"foo@sha256:{HEX}",
        f"foo:1@sha256:{HEX}",
        f"sha256:{HEX}",
        "a" * 237,
    ],
)
def test_a_name_that_the_builder_looks_for_is_not_refused(reference: str) -> None:
    assert why_refused(reference) == ""


@pytest.mark.parametrize("reference", ["Foo", "foo/BAR", "localhost/Foo", "docker.io/Foo:1"])
def test_capital_letters_in_a_repository_are_refused(reference: str) -> None:
    assert "capital letters" in why_refused(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "-foo",
        "foo.",
        "a___b",
        "foo:",
        "foo:.x",
        "foo:b@d",
        "foo@",
        "foo@sha256:12",
        f"foo@sha256:{HEX.upper()}",
        "foo@md5:" + "a" * 32,
        "https://example.com",
        "ex-.com/foo",
        "f\udcff",
        "a b",
        "foo\n",
        "/foo",
        "foo/",
        HEX,
        "a" * 256,
    ],
)
def test_what_the_builder_refuses_is_refused(reference: str) -> None:
    assert why_refused(reference) != ""
