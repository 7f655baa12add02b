"""Workflow commands: at their lines, escaped, and without a value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unstale.parity.model import Difference, Source
from unstale.parity.places import FALLBACK, Place, place_of
from unstale.parity.report import AllowedDifference, Home, PairReport, ParityReport, Remark
from unstale.render.annotations import below, commands, masks
from unstale.render.parity import View

LEFT, RIGHT = Home("env/.env.ci", "docker/ci.yml"), Home("env/.env.test", "docker/test.yml")
CI, TEST = Source("env-file", "env/.env.ci", 12), Source("env-file", "env/.env.test", 7)
LEVEL = Difference(
    "file", "LOG_LEVEL", "different", left="WARNING", right="INFO", left_source=CI,
    right_source=TEST,
)  # fmt: skip
PREFIX = Difference("file", "API_V1_PREFIX", "missing_left", right="/api", right_source=TEST)


def pair(*found: Difference, **more: object) -> PairReport:
    known = PairReport("ci", "test", found, left_home=LEFT, right_home=RIGHT)
    return replace(known, **more)  # type: ignore[arg-type]


def test_a_difference_is_an_error_at_its_line() -> None:
    (line,) = commands(ParityReport((pair(LEVEL),)))

    properties, _, message = line.removeprefix("::").partition("::")
    assert properties == "error file=env/.env.ci,line=12,title=LOG_LEVEL different"
    assert message == "LOG_LEVEL: different (ci and test)"


def test_without_a_policy_a_difference_only_warns() -> None:
    (line,) = commands(ParityReport((pair(LEVEL),)), gating=False)

    assert line.startswith("::warning ")


@pytest.mark.parametrize(
    ("difference", "place"),
    [
        pytest.param(PREFIX, Place("env/.env.ci"), id="file-that-lacks-it"),
        pytest.param(
            replace(PREFIX, field="environment"), Place("env/.env.ci"), id="env-file-of-the-other"
        ),
        pytest.param(
            replace(PREFIX, field="environment", right_source=Source("compose", "x.yml", 4)),
            Place("docker/ci.yml"),
            id="compose-file",
        ),
        pytest.param(
            Difference("command", "fsync", "missing_right", left_source=Source("compose", "c", 4)),
            Place("docker/test.yml"),
            id="flag",
        ),
        pytest.param(
            replace(LEVEL, left_source=Source("image", "postgres:16")),
            Place("env/.env.test", 7),
            id="an-image-is-no-file",
        ),
        pytest.param(
            replace(LEVEL, left_source=Source("compose", "c.yml")), Place("c.yml"), id="no-line"
        ),
    ],
)
def test_a_difference_is_shown_where_it_can_be_mended(difference: Difference, place: Place) -> None:
    assert place_of(difference, pair(difference)) == place


def test_what_has_no_place_is_shown_where_environments_are_configured() -> None:
    difference = Difference("other", "service", "missing_left")

    assert place_of(difference, PairReport("a", "b")) == FALLBACK


def test_errors_come_first_then_warnings_then_notices() -> None:
    found = ParityReport(
        (pair(LEVEL, allowed=(AllowedDifference(PREFIX, "because"),)),),
        hazards=(Remark("dollar", "A", "env/.env.ci", 3, "read differently"),),
        findings=(Remark("inert", "B"),),
        policy_findings=(Remark("expired", "C", "pyproject.toml", 9, "since yesterday"),),
    )

    assert [line.split(" ")[0] for line in commands(found)] == [
        "::error",
        "::error",
        "::warning",
        "::notice",
        "::notice",
    ]


def test_what_is_allowed_says_why() -> None:
    (line,) = commands(ParityReport((pair(allowed=(AllowedDifference(LEVEL, "short logs"),)),)))

    assert line.endswith("allowed: short logs")


def test_a_variable_of_the_files_and_of_containers_takes_one_place_of_ten() -> None:
    contained = replace(LEVEL, field="environment", services=("api",))

    assert len(commands(ParityReport((pair(LEVEL, contained),)))) == 1


def test_a_line_without_a_name_is_told_by_its_place() -> None:
    remark = Remark("docker run refuses the line", "", "env/.env.ci", 4)

    (line,) = commands(ParityReport(hazards=(remark,)))

    assert line == (
        "::warning file=env/.env.ci,line=4,title=read differently::docker run refuses the line"
    )


def test_properties_and_data_are_escaped() -> None:
    remark = Remark("dollar", "A", "a,b:c%.env", 1, "100%\r\n::error::no")

    (line,) = commands(ParityReport(hazards=(remark,)))

    assert line.startswith("::warning file=a%2Cb%3Ac%25.env,line=1,title=A%3A read differently::")
    assert line.endswith("100%25\\r\\n::error::no")
    assert line.count("\n") == 0


def test_no_annotation_has_a_value() -> None:
    output = "".join(commands(ParityReport((pair(LEVEL, PREFIX),))))

    assert "WARNING" not in output
    assert "/api" not in output


def test_values_to_be_shown_are_masked_line_by_line() -> None:
    several = replace(LEVEL, left="first line\nsecond 100%", right="short")

    assert masks(ParityReport((pair(several),)), View(values_shown=True)) == (
        "::add-mask::first line",
        "::add-mask::second 100%25",
    )
    assert masks(ParityReport((pair(several),)), View()) == ()


def test_below_the_top_of_a_repository_only_the_file_is_another() -> None:
    lines = commands(ParityReport((pair(LEVEL),), findings=(Remark("inert", "file=a"),)))

    found = below("a,b/c", lines)

    assert found[0] == lines[0].replace("file=env", "file=a%2Cb/c/env")
    assert found[1] == lines[1].replace("file=pyproject", "file=a%2Cb/c/pyproject")
    assert below("", lines) == lines
    assert below("a", ("::error title=t::file=x",)) == ("::error title=t::file=x",)
