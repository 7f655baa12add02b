"""Layers without the secrets among the build's values; the lines are BuildKit's own."""

from __future__ import annotations

import pytest

from unstale.image.layers import masked_history
from unstale.mask import Mask

HIDDEN = "********"


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            "RUN |2 A=b TOKEN=x /bin/sh -c echo hi # buildkit",
            f"RUN |2 A=b TOKEN={HIDDEN} /bin/sh -c echo hi # buildkit",
        ),
        (
            "RUN |3 A=b c TOKEN=s3cr3t value Z=1 /bin/bash -o pipefail -c echo two # buildkit",
            f"RUN |3 A=b c TOKEN={HIDDEN} Z=1 /bin/bash -o pipefail -c echo two # buildkit",
        ),
        # Three names for two values: Z may be a part of the secret.
        (
            "RUN |2 A=b TOKEN=s3cr3t value Z=1 /bin/sh -c echo hi",
            f"RUN |2 A=b TOKEN={HIDDEN} ... /bin/sh -c echo hi",
        ),
        (
            "RUN |1 TOKEN=a /bin/sh -c b /bin/sh -c echo hi",
            f"RUN |1 TOKEN={HIDDEN} /bin/sh -c echo hi",
        ),
        ("RUN |1 TOKEN=a python3 -c print(1) # buildkit", f"RUN |1 TOKEN={HIDDEN}"),
        ("|1 TOKEN=a /bin/sh -c echo hi", f"|1 TOKEN={HIDDEN} /bin/sh -c echo hi"),
        ("ENV PLAIN=x y DB_PASSWORD=pw word OTHER=z", f"ENV PLAIN=x y DB_PASSWORD={HIDDEN} ..."),
        ("ARG TOKEN=s3cr3t value", f"ARG TOKEN={HIDDEN}"),
        ("LABEL api.key=abc", f"LABEL api.key={HIDDEN}"),
        ("/bin/sh -c #(nop)  ENV TOKEN=abc", f"/bin/sh -c #(nop)  ENV TOKEN={HIDDEN}"),
        ("ENV URL=https://u:pw@example.com/", f"ENV URL={HIDDEN}"),
    ],
)
def test_of_a_secret_only_the_name_is_shown(layer: str, expected: str) -> None:
    assert masked_history([layer], Mask()) == (expected,)


@pytest.mark.parametrize(
    "layer",
    [
        "RUN |2 A=b c D= /bin/sh -c FOO=bar make # buildkit",
        "RUN /bin/sh -c make all # buildkit",
        "COPY src /app # buildkit",
        "ENV PATH=/usr/bin:/bin LANG=C.UTF-8",
        "ARG TOKEN",
        "",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(layer: str) -> None:
    assert masked_history([layer], Mask()) == (layer,)


def test_a_secret_of_one_layer_is_hidden_in_all_and_so_is_a_known_one() -> None:
    layers = ("RUN /bin/sh -c login s3cr3t-value known-value", "ARG TOKEN=s3cr3t-value")

    assert masked_history(layers, Mask(("known-value",))) == (
        f"RUN /bin/sh -c login {HIDDEN} {HIDDEN}",
        f"ARG TOKEN={HIDDEN}",
    )
