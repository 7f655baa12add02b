"""A Dockerfile as the builder follows it: stages, steps, variables, what is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from checkout import Checkout, image_fact

from unstale.errors import CouldNotTell
from unstale.facts import ImageFact
from unstale.image import dockerfile, program
from unstale.image.dockerfile import Unresolved
from unstale.image.plan import Given, NamedContext, Plan, Step

BASE = image_fact("sha256:base", Env=["PATH=/bin", "WHERE=src"], WorkingDir="/home", User="app")
IMAGES: dict[str, ImageFact] = {
    "base": BASE,
    "tools": image_fact("sha256:tools"),
    "python:3": image_fact("sha256:python"),
    "onbuild": image_fact(
        "sha256:on", OnBuild=["ARG D=docs", "COPY $D /d/", "RUN --mount=source=src,target=/s x"]
    ),
}


def plan(
    text: str,
    *,
    target: str | None = None,
    arguments: Mapping[str, str] | None = None,
    contexts: Mapping[str, NamedContext] | None = None,
    platform: str = "linux/amd64",
) -> Plan:
    given = Given(
        target=target,
        arguments=arguments or {},
        images=lambda name, _: IMAGES.get(name),
        platform=lambda: platform,
        build_platform=lambda: "linux/amd64",
        contexts=contexts or {},
    )
    return program.resolve(dockerfile.parse(text), given)


def steps(found: Plan) -> list[Step]:
    """The steps of the target and of the stages it is FROM."""
    return [step for stage in found.chain for step in stage.steps]


def read(found: Plan) -> list[tuple[str, str]]:
    """What is read of a context, by every stage that is needed."""
    return [
        (reading.context, reading.path)
        for stage in found.stages.values()
        for step in stage.steps
        for reading in step.reads
    ]


def sources(text: str, **options: Any) -> list[str]:
    return [path for _, path in read(plan(f"FROM base\n{text}\n", **options))]


def run_env(text: str, **options: Any) -> dict[str, str]:
    """The variables of the last RUN, without those of the base image."""
    last = [s for s in steps(plan(f"FROM base\n{text}\n", **options)) if s.verb == "run"][-1]
    return {name: value for name, value in last.env if name not in ("PATH", "WHERE")}


def config(text: str, **options: Any) -> dict[str, Any]:
    found = plan(text, **options)
    held: dict[str, Any] = json.loads(found.stages[found.target].config)
    return held


# --- Stages ---

THREE = """\
FROM base AS first
COPY a /
FROM first AS second
COPY b /
FROM python:3 AS third
COPY c /
COPY --from=second /x /
"""


def test_the_last_stage_is_the_target_if_none_is_named() -> None:
    found = plan(THREE)

    assert found.target == 2
    assert sorted(found.stages) == [0, 1, 2]
    assert [path for _, path in read(found)] == ["a", "b", "c"]
    assert found.images == ("base", "python:3")


def test_only_what_the_target_needs_is_looked_at() -> None:
    found = plan(THREE, target="second")

    assert sorted(found.stages) == [0, 1]
    assert [stage.number for stage in found.chain] == [0, 1]
    assert found.images == ("base",)


@pytest.mark.parametrize("target", ["SECOND", "Second"])
def test_a_target_is_found_in_any_case(target: str) -> None:
    assert plan(THREE, target=target).target == 1


@pytest.mark.parametrize("target", ["fourth", "0", "3", "base"])
def test_a_target_that_is_no_stage_is_refused(target: str) -> None:
    with pytest.raises(CouldNotTell, match="no stage called"):
        plan(THREE, target=target)


def test_of_two_stages_with_one_name_the_later_counts() -> None:
    text = "FROM base AS a\nCOPY x /\nFROM base AS a\nCOPY y /\nFROM a\n"

    assert [path for _, path in read(plan(text))] == ["y"]


@pytest.mark.parametrize("origin", ["first", "FIRST", "0"])
def test_a_stage_is_copied_from_by_name_or_number(origin: str) -> None:
    found = plan(f"FROM base AS first\nCOPY a /\nFROM scratch\nCOPY --from={origin} /a /\n")

    assert read(found) == [("", "a")]
    assert found.stages[1].steps[0].stages == (0,)


def test_a_later_stage_is_no_base_but_an_image() -> None:
    found = plan("FROM python:3 AS tools\nFROM base\nCOPY --from=tools /x /\n", target=None)
    assert found.images == ("base", "python:3")

    found = plan("FROM tools AS first\nFROM base AS tools\n", target="first")
    assert found.images == ("tools",)


def test_a_stage_that_needs_itself_is_refused() -> None:
    with pytest.raises((Unresolved, CouldNotTell)):
        plan("FROM base AS a\nCOPY --from=a /x /\n")


def test_the_same_stage_is_interpreted_once() -> None:
    text = "FROM base AS a\nADD https://example.com/x /\nFROM a\nCOPY --from=a /x /y\n"

    assert plan(text).unknown == ("ADD https://example.com/x (line 2)",)


def test_scratch_is_no_image() -> None:
    found = plan("FROM scratch\nCOPY --from=scratch /x /y\nRUN --mount=from=scratch,target=/s x\n")

    assert (found.images, found.unknown) == ((), ())


def test_a_missing_image_is_one_doubt_however_often_it_is_used() -> None:
    found = plan("FROM none\nCOPY --from=none /a /\nRUN --mount=from=none,target=/n x\n")

    assert found.unknown == ("the base image none is not on this machine",)


# --- Variables ---


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("ARG D=src\nCOPY $D /o/", "src"),
        ("ENV D=src\nCOPY ${D}/app.py /o/", "src/app.py"),
        ("COPY $WHERE /o/", "src"),
        ("COPY ${NONE:-docs} /o/", "docs"),
        ("COPY ${WHERE:+docs} /o/", "docs"),
        ("COPY $NONE /o/", "."),
        ("COPY '$WHERE' /o/", "$WHERE"),
        ("COPY \\$WHERE /o/", "$WHERE"),
        ("ENV A=1 D=a$A\nCOPY x$D /o/", "xa"),
        ("ENV A=1\nENV D=a$A\nCOPY x$D /o/", "xa1"),
        ("ARG A=1 D=a$A\nCOPY x$D /o/", "xa"),
        ("ARG D\nCOPY x$D /o/", "x"),
        ('ENV D="a b"\nCOPY $D /o/', "a b"),
    ],
)
def test_a_source_is_expanded(text: str, path: str) -> None:
    assert sources(text) == [path]


def test_an_arg_after_an_env_wins_for_words_and_runs_and_the_image_keeps_the_env() -> None:
    text = "ENV D=docs\nARG D=src\nCOPY $D /o/\nRUN x"

    assert sources(text) == ["src"]
    assert run_env(text) == {"D": "src"}
    assert run_env(text, arguments={"D": "given"}) == {"D": "given"}
    assert dict(config(f"FROM base\n{text}\n")["Env"])["D"] == "docs"


def test_an_env_after_an_arg_wins() -> None:
    text = "ARG D=src\nENV D=docs\nCOPY $D /o/\nRUN x"

    assert sources(text, arguments={"D": "given"}) == ["docs"]
    assert run_env(text, arguments={"D": "given"}) == {"D": "docs"}


def test_an_arg_without_any_value_leaves_the_env_as_it_is() -> None:
    assert run_env("ENV D=docs\nARG D\nRUN x") == {"D": "docs"}


@pytest.mark.parametrize(
    ("outer", "inner", "given", "value"),
    [
        ("ARG A=1", "ARG A", {}, {"A": "1"}),
        ("ARG A=1", "ARG A=2", {}, {"A": "2"}),
        ("ARG A=1", "ARG A", {"A": "3"}, {"A": "3"}),
        ("ARG A=1", "ARG A=2", {"A": "3"}, {"A": "3"}),
        ("ARG A=1", "ARG A=2", {"A": ""}, {"A": ""}),
        ("ARG A=1", "", {"A": "3"}, {}),
        ("ARG A", "ARG A", {}, {}),
        ("ARG A=1\nARG B=${A}2", "ARG B", {}, {"B": "12"}),
    ],
)
def test_an_argument_of_a_stage_has_a_value(
    outer: str, inner: str, given: dict[str, str], value: dict[str, str]
) -> None:
    found = plan(f"{outer}\nFROM base\n{inner}\nRUN x\n", arguments=given)

    env = dict(steps(found)[0].env)
    assert {name: env[name] for name in env if name in "AB"} == value


def test_variables_are_handed_on_to_a_stage_on_a_stage() -> None:
    found = plan("FROM base AS p\nARG A=1\nENV B=2\nFROM p\nRUN x\n")

    assert {("A", "1"), ("B", "2")} <= set(steps(found)[0].env)


def test_variables_are_not_handed_on_to_a_stage_on_an_image() -> None:
    found = plan("FROM base AS p\nARG A=1\nFROM base\nCOPY --from=p /x /\nRUN x\n")

    assert "A" not in dict(steps(found)[-1].env)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TARGETPLATFORM", "linux/arm64/v8"),
        ("TARGETOS", "linux"),
        ("TARGETARCH", "arm64"),
        ("TARGETVARIANT", "v8"),
        ("BUILDPLATFORM", "linux/amd64"),
        ("BUILDARCH", "amd64"),
    ],
)
def test_a_platform_variable_has_to_be_declared_in_a_stage(name: str, value: str) -> None:
    arm = {"platform": "linux/arm64/v8"}

    assert run_env(f"ARG {name}\nRUN x", **arm) == {name: value}
    assert run_env("RUN x", **arm) == {}
    assert run_env(f"ARG {name}\nRUN x", **arm, arguments={name: "y"}) == {name: "y"}


def test_a_platform_variable_before_the_stages_need_not_be_declared() -> None:
    found = plan("FROM --platform=$BUILDPLATFORM base\n", platform="linux/arm64")
    assert found.stages[0].platform == "linux/amd64"

    found = plan("FROM --platform=$TARGETPLATFORM base\n", platform="linux/arm64")
    assert found.stages[0].platform == "linux/arm64"

    found = plan(
        "FROM --platform=$TARGETPLATFORM base\n", arguments={"TARGETPLATFORM": "linux/s390x"}
    )
    assert found.stages[0].platform == "linux/s390x"

    found = plan("ARG V=3\nFROM python:${V}\n")
    assert found.images == ("python:3",)


def test_an_argument_from_before_the_stages_is_empty_in_a_stage() -> None:
    found = plan("ARG D=src\nFROM base\nCOPY $D /o/\n")

    assert read(found) == [("", ".")]


# --- COPY and ADD ---


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("COPY a b /o/", ["a", "b"]),
        ('COPY ["a b", "/o/"]', ["a b"]),
        ("COPY ./a /o/", ["a"]),
        ("COPY /a /o/", ["a"]),
        ("COPY ../a /o/", ["a"]),
        ("COPY s/../../a /o/", ["a"]),
        ("COPY . /o/", ["."]),
        ("COPY / /o/", ["."]),
        ("ADD a https://example.com/b /o/", ["a"]),
        ("COPY <<EOF a /o/\nx\nEOF", ["a"]),
        ("COPY --parents ./a/**/b /o/", ["a"]),
        ("COPY --parents **/b /o/", ["."]),
        ("RUN --mount=source=a,target=/x x", ["a"]),
        ("RUN --mount=type=bind,src=../a,dst=/x x", ["a"]),
        ("RUN --mount=target=/x x", ["."]),
        ("RUN --mount=type=cache,target=/x --mount=type=tmpfs,target=/y x", []),
        ("RUN --mount=source=$WHERE,target=/x x", ["src"]),
        ("COPY --from=tools /bin/x /x", []),
    ],
)
def test_paths_that_are_read(line: str, paths: list[str]) -> None:
    assert sources(line) == paths


@pytest.mark.parametrize(
    ("line", "dest", "into_folder"),
    [
        ("COPY a /o", "/o", False),
        ("COPY a /o/", "/o", True),
        ("COPY a .", "/home", True),
        ("COPY a ./", "/home", True),
        ("COPY a o/.", "/home/o", True),
        ("COPY a b /o", "/o", True),
        ("COPY a ../o", "/o", False),
        ("COPY a /../o//p/", "/o/p", True),
        ("COPY a <<EOF /o/\nx\nEOF", "/o", True),
        ("WORKDIR /w\nCOPY a o", "/w/o", False),
        ("WORKDIR w\nCOPY a o", "/home/w/o", False),
        ("WORKDIR $WHERE\nCOPY a o", "/home/src/o", False),
    ],
)
def test_a_destination_is_followed(line: str, dest: str, into_folder: bool) -> None:
    copy = steps(plan(f"FROM base\n{line}\n"))[-1].copy

    assert copy is not None
    assert (str(copy.dest), copy.into_folder) == (dest, into_folder)


def test_a_copy_from_a_folder_context_reads_it_and_from_an_image_context_the_image() -> None:
    contexts = {
        "lib": NamedContext("folder", "/lib"),
        "img": NamedContext("image", "tools"),
        "far": NamedContext("remote", "https://example.com/a.git"),
    }
    text = "FROM base\nCOPY --from=lib a /\nCOPY --from=img a /\nCOPY --from=far a /\n"

    found = plan(text, contexts=contexts)

    assert read(found) == [("lib", "a")]
    assert found.images == ("base", "tools")
    assert found.unknown == ("the additional context far is not on this machine",)


@pytest.mark.parametrize("name", ["base", "docker.io/library/base", "base:latest"])
def test_a_context_in_place_of_an_image_goes_by_its_short_name(name: str) -> None:
    contexts = {program.familiar(name): NamedContext("image", "tools")}

    assert plan(f"FROM {name}\n", contexts=contexts).images == ("tools",)
    assert plan("FROM docker.io/library/base:latest\n", contexts=contexts).images == ("tools",)


def test_a_stage_that_a_context_replaces_is_that_image_wherever_it_is_named() -> None:
    text = "FROM base AS build\nCOPY a /\nRUN x\nFROM build\nCOPY b /\nCOPY --from=build /c /\n"
    found = plan(text, contexts={"build": NamedContext("image", "tools")})

    assert read(found) == [("", "b")]
    assert found.images == ("tools",)


@pytest.mark.parametrize("folder", ["/", "/x/..", "//"])
def test_the_root_as_a_workdir_makes_no_step(folder: str) -> None:
    assert steps(plan(f"FROM base\nWORKDIR {folder}\n")) == []


@pytest.mark.parametrize(
    "text",
    [
        "FROM lib\n",
        "FROM base AS lib\nFROM lib\n",
        "FROM base\nCOPY --from=$X a /\n",
        "FROM base\nCOPY [a- /o/\n",
        "FROM $NONE\n",
    ],
)
def test_what_can_not_be_followed_is_refused(text: str) -> None:
    with pytest.raises((Unresolved, CouldNotTell)):
        plan(text, contexts={"lib": NamedContext("folder", "/lib")})


# --- Triggers ---


def test_the_triggers_of_a_base_image_run_first_and_have_no_line() -> None:
    found = plan("FROM onbuild\nCOPY a /\n")

    assert read(found) == [("", "docs"), ("", "src"), ("", "a")]
    assert [step.line for step in steps(found)] == [0, 0, 2]


def test_a_trigger_sees_arguments() -> None:
    assert read(plan("FROM onbuild\n", arguments={"D": "other"}))[0] == ("", "other")


def test_a_trigger_of_a_stage_runs_where_the_stage_is_built_on() -> None:
    text = "FROM base AS p\nONBUILD COPY a /\nFROM p AS c\nCOPY b /\nFROM c\n"
    found = plan(text)

    assert [(s.number, [x.line for x in s.steps]) for s in found.chain] == [
        (0, []),
        (1, [3, 4]),
        (2, []),
    ]
    assert "OnBuild" not in config(text)
    assert config(text, target="p")["OnBuild"] == ["COPY a /"]


# --- What is said besides ---


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("RUN x", "what a RUN fetches from the network"),
        ("RUN --network=none --mount=type=secret,id=token x", "the secret token"),
        ("RUN --network=none --mount=type=ssh x", "the ssh"),
    ],
)
def test_an_input_that_no_digest_holds_is_named(line: str, said: str) -> None:
    assert plan(f"FROM base\n{line}\nRUN --network=none y\n").not_covered == (said,)


def test_a_run_without_a_network_fetches_nothing() -> None:
    assert plan("FROM base\nRUN --network=none x\n").not_covered == ()


def test_a_step_knows_its_line() -> None:
    found = plan("FROM base\n\nRUN x \\\n  y\n# why\nCOPY a /\n")

    assert [(step.verb, step.line) for step in steps(found)] == [("run", 3), ("copy", 6)]


# --- Names that no image has ---


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("FROM Foo", "line 1: FROM Foo, "),
        ("FROM Foo AS unneeded\nFROM base", "line 1: FROM Foo, "),
        ("ARG TAG=\nFROM base:$TAG", "line 2: FROM base:, "),
        ("FROM f\udcff", "line 1: FROM f\ufffd, "),
        ("FROM base\nRUN x\nCOPY --from=Foo /a /b", "line 3: from=Foo, "),
        ("FROM base\nRUN --mount=from=Foo,target=/x y", "line 2: from=Foo, "),
    ],
)
def test_an_image_name_that_the_builder_refuses_is_told_with_its_line(
    text: str, named: str
) -> None:
    with pytest.raises(Unresolved) as caught:
        plan(f"{text}\n")

    assert str(caught.value).startswith(f"{named}a name that the builder refuses: ")


def test_an_additional_context_with_such_an_image_is_told() -> None:
    contexts = {"lib": NamedContext("image", "Foo")}

    with pytest.raises(Unresolved, match="the image Foo, a name that the builder refuses"):
        plan("FROM lib\n", contexts=contexts)


def test_an_image_with_such_a_name_is_never_asked_for(checkout: Checkout) -> None:
    class Refusing(dict[str, ImageFact]):
        def get(self, *_: object) -> ImageFact:
            raise AssertionError("asked")

    checkout.images = Refusing()

    assert checkout.inputs("FROM -foo\nCOPY a /\n").unknown[0].startswith("line 1: FROM -foo")


@pytest.mark.parametrize(
    "text", ["FROM base AS Foo\nFROM Foo\n", "FROM base AS Foo\nFROM base\nCOPY --from=Foo /a /b\n"]
)
def test_a_stage_may_have_any_name(text: str) -> None:
    assert plan(text).unknown == ()
