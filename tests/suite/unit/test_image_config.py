"""What an image says of itself, as its Dockerfile makes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from checkout import image_fact

from unstale.facts import ImageFact
from unstale.image import dockerfile, imageconfig, program
from unstale.image.plan import Given

BASE = image_fact(
    "sha256:base",
    Env=["PATH=/bin", "LANG=C"],
    Cmd=["serve"],
    Entrypoint=["/entry"],
    User="app",
    WorkingDir="/home",
    Labels={"a": "1"},
    ExposedPorts={"80/tcp": {}},
    Volumes={"/data": {}},
    StopSignal="INT",
    Shell=["/bin/bash", "-c"],
    Healthcheck={"Test": ["CMD", "up"]},
    Hostname="0123",
)


def config(text: str, base: ImageFact = BASE, **arguments: str) -> dict[str, Any]:
    given = Given(None, arguments, lambda _name, _platform: base, str, str)
    found = program.resolve(dockerfile.parse(text), given)
    held: dict[str, Any] = json.loads(found.stages[found.target].config)
    return held


def test_what_a_base_image_says_is_inherited() -> None:
    found = config("FROM base\n")

    assert found["Cmd"] == ["serve"]
    assert found["Env"] == [["PATH", "/bin"], ["LANG", "C"]]
    assert found["ExposedPorts"] == ["80/tcp"]
    assert found["Labels"] == {"a": "1"}
    assert found["Shell"] == ["/bin/bash", "-c"]
    assert "Hostname" not in found


def test_an_image_from_scratch_has_a_path_and_nothing_else() -> None:
    assert list(config("FROM scratch\n")) == ["Env"]
    assert [name for name, _ in config("FROM scratch\n")["Env"]] == ["PATH"]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("LABEL b=2 c=$LANG", "Labels", {"a": "1", "b": "2", "c": "C"}),
        ("LABEL a=2", "Labels", {"a": "2"}),
        ("USER $LANG", "User", "C"),
        ("STOPSIGNAL TERM", "StopSignal", "TERM"),
        ('SHELL ["/bin/x"]', "Shell", ["/bin/x"]),
        ("ONBUILD RUN $x", "OnBuild", ["RUN $x"]),
        ("EXPOSE 81 80 53/udp", "ExposedPorts", ["53/udp", "80/tcp", "81/tcp"]),
        ("VOLUME /x /$LANG", "Volumes", ["/C", "/data", "/x"]),
        ('VOLUME ["/x"]', "Volumes", ["/data", "/x"]),
        ('CMD ["a", "$LANG"]', "Cmd", ["a", "$LANG"]),
        ("CMD a b", "Cmd", ["/bin/bash", "-c", "a b"]),
        ("WORKDIR x", "WorkingDir", "/home/x"),
        ("WORKDIR /x/", "WorkingDir", "/x/"),
        ("ENV LANG=D", "Env", [["PATH", "/bin"], ["LANG", "D"]]),
        ("ENV A=$LANG", "Env", [["PATH", "/bin"], ["LANG", "C"], ["A", "C"]]),
    ],
)
def test_an_instruction_sets(line: str, name: str, value: object) -> None:
    assert config(f"FROM base\n{line}\n")[name] == value


def test_an_entrypoint_resets_the_command_of_the_base_image() -> None:
    found = config('FROM base\nENTRYPOINT ["x"]\n')

    assert found["Entrypoint"] == ["x"]
    assert "Cmd" not in found


@pytest.mark.parametrize("lines", ['CMD ["a"]\nENTRYPOINT ["x"]', 'ENTRYPOINT ["x"]\nCMD ["a"]'])
def test_an_entrypoint_keeps_a_command_of_its_own_stage(lines: str) -> None:
    assert config(f"FROM base\n{lines}\n")["Cmd"] == ["a"]


def test_a_shell_counts_for_the_commands_after_it() -> None:
    text = 'FROM base\nCMD a\nSHELL ["/bin/x", "-e"]\nENTRYPOINT b\n'
    found = config(text)

    assert found["Cmd"] == ["/bin/bash", "-c", "a"]
    assert found["Entrypoint"] == ["/bin/x", "-e", "b"]


def test_an_argument_is_no_part_of_it() -> None:
    assert config("FROM base\nARG LANG=D\nARG B=1\n", B="2") == config("FROM base\n")


def test_a_health_check_can_be_switched_off() -> None:
    assert config("FROM base\nHEALTHCHECK NONE\n")["Healthcheck"] == [False, "NONE"]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("HEALTHCHECK --interval=1s CMD a", "HEALTHCHECK  --interval=1s  CMD  a", True),
        ("HEALTHCHECK CMD a", "HEALTHCHECK cmd a", True),
        ("HEALTHCHECK CMD a", "HEALTHCHECK CMD b", False),
        ("HEALTHCHECK CMD a", "HEALTHCHECK --retries=1 CMD a", False),
        ("HEALTHCHECK CMD a", 'HEALTHCHECK CMD ["a"]', False),
        ("HEALTHCHECK CMD a", 'HEALTHCHECK CMD\t["a"]', False),
        ("HEALTHCHECK CMD a", "HEALTHCHECK NONE", False),
        ("HEALTHCHECK none", "HEALTHCHECK NONE", True),
    ],
)
def test_a_health_check_counts_by_what_it_says(one: str, other: str, is_same: bool) -> None:
    keys = [config(f"FROM base\n{line}\n")["Healthcheck"] for line in (one, other)]

    assert (keys[0] == keys[1]) == is_same


def test_the_author_is_told_as_it_is_written() -> None:
    assert config("FROM base\nMAINTAINER $LANG\n")["Author"] == "$LANG"


def test_two_stages_on_one_stage_do_not_share_what_they_say() -> None:
    changes = "LABEL x=1\nENV X=1\nEXPOSE 1\nVOLUME /v\nONBUILD RUN x\n"
    text = f"FROM base AS p\nFROM p AS a\n{changes}FROM p\nCOPY --from=a /a /a\n"

    assert config(f"FROM base\n{changes}") != config("FROM base\n")
    assert config(text) == config("FROM base\n")


def test_two_orders_of_one_statement_have_one_key_but_for_variables() -> None:
    def key(**config: Any) -> str:
        return imageconfig.key(config)

    assert key(Labels={"a": "1", "b": "2"}) == key(Labels={"b": "2", "a": "1"})
    assert key(Env={"a": "1", "b": "2"}) != key(Env={"b": "2", "a": "1"})
    assert key(User="", Cmd=None) == key()


def test_a_stamp_of_the_base_image_is_no_input() -> None:
    labels = {"dev.unstale.inputs": "v1:x", "com.docker.compose.project": "p", "kept": "yes"}

    assert imageconfig.start(image_fact("l", labels=labels))["Labels"] == {"kept": "yes"}
