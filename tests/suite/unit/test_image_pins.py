"""S10: which images a build uses by a name alone."""

from __future__ import annotations

import pytest
from workshop import Workshop

from unstale.pipeline.images import statuses, unpinned

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.mark.parametrize(
    ("dockerfile", "names"),
    [
        ("FROM python:3.13\n", ["python:3.13"]),
        ("FROM python\n", ["python"]),
        (f"FROM python:3.13@{DIGEST}\n", []),
        ("FROM scratch\n", []),
        ("ARG TAG=3.13\nFROM python:${TAG}\n", ["python:3.13"]),
        (f"ARG BASE=python@{DIGEST}\nFROM $BASE\n", []),
        ("FROM scratch AS base\nFROM base\n", []),
        ("FROM scratch\nCOPY --from=example.com/tool:1 /bin/tool /bin/\n", ["example.com/tool:1"]),
        (f"FROM scratch\nCOPY --from=example.com/tool@{DIGEST} /a /b\n", []),
        ("FROM python:3.13 AS a\nFROM debian:12 AS b\nCOPY --from=a /x /x\n",
         ["debian:12", "python:3.13"]),
        ("FROM python:3.13 AS unused\nFROM scratch\n", []),
    ],
)  # fmt: skip
def test_a_base_image_without_a_digest_is_named(
    dockerfile: str, names: list[str], shop: Workshop
) -> None:
    shop.checkout.write({"Dockerfile": dockerfile})

    (status,) = statuses(shop.bench, ["app"])

    assert list(status.unpinned) == names


def test_what_is_pulled_is_told_and_what_is_built_here_is_not(shop: Workshop) -> None:
    shop.more["db"] = {"image": "postgres:17"}
    shop.more["cache"] = {"image": f"redis@{DIGEST}"}
    shop.checkout.write({"Dockerfile": "FROM scratch\n"})

    found = unpinned(shop.bench.site.stack, statuses(shop.bench))

    assert found == {"db": ["postgres:17"]}
