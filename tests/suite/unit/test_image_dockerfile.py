from __future__ import annotations

import pytest

from unstale.errors import CouldNotTell
from unstale.image.dockerfile import parse


def only(text: str) -> list[tuple[str, str]]:
    return [(one.name, one.text) for one in parse("FROM scratch\n" + text).stages[0].instructions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("copy a b", [("COPY", "a b")]),
        ("  RUN\tx", [("RUN", "x")]),
        ("# COPY a b\nRUN x", [("RUN", "x")]),
        ("RUN a \\\n  b", [("RUN", "a   b")]),
        ("RUN a \\\n# why\n\n  b", [("RUN", "a   b")]),
        ("RUN a \\\n  # why\n  b", [("RUN", "a   b")]),
        ("RUN a # b", [("RUN", "a # b")]),
        ("RUN a \\  \nb", [("RUN", "a b")]),
        ("RUN a \\\\\nRUN b", [("RUN", "a \\\\"), ("RUN", "b")]),
        ("RUN a\r\nRUN b\r\n", [("RUN", "a"), ("RUN", "b")]),
        ("RUN echo $((1 << 2))\nRUN b", [("RUN", "echo $((1 << 2))"), ("RUN", "b")]),
        ("RUN cat <<< x\nRUN b", [("RUN", "cat <<< x"), ("RUN", "b")]),
    ],
)
def test_logical_lines(text: str, expected: list[tuple[str, str]]) -> None:
    assert only(text) == expected


def test_the_escape_directive_moves_continuation_to_the_backtick() -> None:
    found = parse("# escape=`\nFROM scratch\nRUN a `\n b\nRUN c:\\\nRUN d")

    assert [one.text for one in found.stages[0].instructions] == ["a  b", "c:\\", "d"]


def test_a_directive_after_a_comment_is_a_comment() -> None:
    assert parse("# hello\n# escape=`\nFROM scratch").escape == "\\"


def test_a_byte_order_mark_is_dropped() -> None:
    assert parse("\ufeffFROM scratch").stages[0].base == "scratch"


def test_flags_and_the_json_form() -> None:
    one = parse('FROM a\nCOPY --from=x --chown=1:1 ["a b", "c"]').stages[0].instructions[0]

    assert (one.flag("from"), one.words) == ("x", ("a b", "c"))


@pytest.mark.parametrize("head", ["RUN <<EOF", 'RUN <<"EOF"', "RUN <<-EOF", "COPY <<EOF /x"])
def test_a_heredoc_keeps_its_comments(head: str) -> None:
    found = parse(f"FROM a\n{head}\n# kept\nCOPY a b\nEOF\nRUN after").stages[0].instructions

    assert [heredoc.body for heredoc in found[0].heredocs] == ["# kept\nCOPY a b\n"]
    assert found[1].text == "after"


def test_two_heredocs_follow_each_other() -> None:
    one = parse("FROM a\nCOPY <<A <<B /d/\n1\nA\n2\nB").stages[0].instructions[0]

    assert [heredoc.body for heredoc in one.heredocs] == ["1\n", "2\n"]


def test_stages_and_what_comes_before_them() -> None:
    found = parse("ARG V=1\nFROM --platform=linux/amd64 a:$V AS Build\nRUN x\nFROM build\nRUN y")

    assert [one.text for one in found.arguments] == ["V=1"]
    assert [(s.base, s.name, s.platform) for s in found.stages] == [
        ("a:$V", "build", "linux/amd64"),
        ("build", "", ""),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "RUN x", "FROM a\nINCLUDE b", "FROM a\nRUN <<EOF\nx", "FROM a b", "# escape=x\nFROM a"],
)
def test_what_is_no_dockerfile_is_an_error(text: str) -> None:
    with pytest.raises(CouldNotTell):
        parse(text)
