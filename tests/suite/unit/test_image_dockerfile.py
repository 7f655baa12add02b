from __future__ import annotations

import pytest

from unstale.errors import CouldNotTell
from unstale.image.dockerfile import Instruction, csv_fields, name_values, parse, parse_instruction


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


def one(text: str) -> Instruction:
    return parse(f"FROM scratch\n{text}").stages[0].instructions[0]


def test_each_instruction_knows_its_first_line() -> None:
    found = parse("# a\n\nARG x\nFROM a\n# b\nRUN <<E\n1\nE\n\nRUN c \\\n d\n RUN e")

    assert [found.arguments[0].line, found.stages[0].line] == [3, 4]
    assert [one.line for one in found.stages[0].instructions] == [6, 10, 12]


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("COPY --from=a --link b c", (("from", "a"), ("link", "true"))),
        ("COPY --link=False --chown= b c", ()),
        ("COPY --chown=false b c", (("chown", "false"),)),
        ('COPY --chown="a b"\\ c d e', (("chown", "a b c"),)),
        ("RUN --mount=type=bind --mount=a b", (("mount", "type=bind"), ("mount", "a"))),
        ("RUN -- --mount=a", ()),
        ("RUN --network=default --security=sandbox a", ()),
        ("RUN --network=none a", (("network", "none"),)),
        (
            "COPY --parents --exclude=*.a --exclude=b c d",
            (("parents", "true"), ("exclude", "*.a"), ("exclude", "b")),
        ),
        ("ARG --odd=1 a", ()),
        ("HEALTHCHECK --odd=1 NONE", ()),
        ("HEALTHCHECK --interval= --retries= --timeout=1m CMD a", (("timeout", "1m"),)),
        # BuildKit takes bytes for characters here.
        ("COPY --chown=\u00e9 b c", (("chown", "\u00c3\u00a9"),)),
    ],
)
def test_flags_are_those_that_have_an_effect(text: str, flags: tuple[tuple[str, str], ...]) -> None:
    assert one(text).flags == flags


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("COPY a  'b c' d", ("a", "'b", "c'", "d")),
        ('COPY ["a b", "\\u00e9"]', ("a b", "\u00e9")),
        ("COPY ['a', 'b']", ("['a',", "'b']")),
        ("RUN a  b", ("a  b",)),
        ('RUN ["a", 1e999]', ('["a", 1e999]',)),
        ("CMD []", ()),
        ("WORKDIR [a] b", ("[a] b",)),
        ("ARG a b='c d' e=f\\ g", ("a", "b='c d'", "e=f\\ g")),
        ('HEALTHCHECK cmd ["a", "b"]', ("CMD", "a", "b")),
        ("HEALTHCHECK CMD a  b", ("CMD", "a  b")),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert one(text).words == words


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("ENV a=b c='d e' f=", (("a", "b"), ("c", "'d e'"), ("f", ""))),
        ("ENV a b  c", (("a", "b  c"),)),
        ('LABEL "a b"=c=d', (('"a b"', "c=d"),)),
        ("ARG a b=", (("a", None), ("b", ""))),
    ],
)
def test_names_and_values(text: str, pairs: tuple[tuple[str, str | None], ...]) -> None:
    assert name_values(one(text)) == pairs


@pytest.mark.parametrize(
    ("head", "name", "expand"),
    [
        ("<<A", "A", True),
        ("<<'A'", "A", False),
        ('<<A"B"', "AB", False),
        ("<<A\\ B", "A B", True),
        ("3<<$A", "$A", True),
    ],
)
def test_a_heredoc_is_named_by_its_delimiter(head: str, name: str, *, expand: bool) -> None:
    (heredoc,) = one(f"RUN {head}\nx\n{name}").heredocs

    assert (heredoc.name, heredoc.expand, heredoc.body) == (name, expand, "x\n")


def test_leading_tabs_are_no_content_after_a_dash() -> None:
    (heredoc,) = one("COPY <<-A /x\n\t\ta\n\t b\n\tA").inline

    assert (heredoc.body, heredoc.content) == ("\t\ta\n\t b\n", "a\n b\n")


def test_a_heredoc_keeps_its_carriage_returns() -> None:
    assert one("COPY <<A /x\r\na\r\nA\r\n").inline[0].content == "a\r\n"


def test_sources_are_paths_or_heredocs() -> None:
    found = one("COPY <<A a <<A '<<B' /x\n1\nA\n2\nA")

    assert found.paths == ("a", "'<<B'")
    assert [heredoc.body for heredoc in found.inline] == ["2\n", "2\n"]


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("RUN <<A\na\nA", "RUN <<B\na\nB", True),
        ("RUN <<-A\n\ta\nA", "RUN <<A\na\nA", True),
        ("RUN <<A\na\nA", "RUN <<A\nb\nA", False),
        ("RUN sh <<A\na\nA", "RUN sh <<B\na\nB", False),
        ("RUN sh <<-A\n\ta\nA", "RUN sh <<-A\na\nA", False),
        ("RUN <<A\n#!a\nA", "RUN <<B\n#!a\nB", False),
        ("RUN a \\\n# no\n\n b", "RUN a  b", True),
        ("RUN a  ", "RUN a", True),
        ("RUN a  b", "RUN a b", False),
        ("RUN a\r\n", "RUN a", True),
    ],
)
def test_a_script_tells_runs_apart(text: str, other: str, *, same: bool) -> None:
    assert (one(text).script == one(other).script) is same


def test_a_trigger_keeps_its_text_and_its_heredocs() -> None:
    found = one(" onbuild\tCOPY --from=a <<A b \\\n  c \nx\nA\nRUN d")

    assert found.text == "COPY --from=a <<A b   c \nx\nA"
    inner = parse_instruction(found.text, line=7)
    assert (inner.flag("from"), inner.paths, inner.line) == ("a", ("b",), 7)


def test_two_instructions_are_no_trigger() -> None:
    with pytest.raises(CouldNotTell):
        parse_instruction("RUN a\nRUN b")


@pytest.mark.parametrize(
    ("head", "syntax", "escape"),
    [
        ("# syntax = a/b:1 c\n# escape=`\n", "a/b:1", "`"),
        ("#!a\n# syntax=b\n", "b", "\\"),
        (" # syntax=a\n # escape=`\n", "", "`"),
        ("# Check=x\n# syntax=a\n", "a", "\\"),
        ("# odd=x\n# syntax=a\n# escape=`\n", "", "\\"),
        ("\n# escape=`\n", "", "\\"),
    ],
)
def test_directives_stand_at_the_very_top(head: str, syntax: str, escape: str) -> None:
    found = parse(f"{head}FROM scratch")

    assert (found.syntax, found.escape) == (syntax, escape)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("type=bind,from=a", ("type=bind", "from=a")),
        ('"a=b,c",d', ("a=b,c", "d")),
        ('"a""b"', ('a"b',)),
        ("a,", ("a", "")),
    ],
)
def test_a_mount_is_read_as_csv(value: str, fields: tuple[str, ...]) -> None:
    assert csv_fields(value) == fields


@pytest.mark.parametrize("value", ["", 'a"b', '"a', '"a"b', 'a,"b'])
def test_a_mount_of_wrong_quotes_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        csv_fields(value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "# a", "ARG x", "RUN x", "ARG x\nRUN y\nFROM a", "FROM a\nINCLUDE b", "FROM a\n\\"),
        *("FROM a b", "FROM a AS 1", "FROM a AS b-", "FROM", "# escape=x\nFROM a"),
        "# escape=`\n# escape=`\nFROM a",
        f"FROM a\nRUN {'a' * 65_532}",
    ],
)
def test_what_is_no_dockerfile_is_an_error(text: str) -> None:
    with pytest.raises(CouldNotTell):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("RUN --odd x", "RUN --mount x", "RUN --network=odd x", "RUN --mount=from=$a b"),
        *("RUN <<EOF\nx", "RUN <<${A:-B C}\nB", 'RUN ["a", 1]', "COPY a", "COPY a <<B\nB"),
        *("COPY --link=1 a b", "COPY --from=a --from=b c d", "CMD --odd a", "SHELL a", "SHELL []"),
        *("ENV a", "ENV =a", "ENV a=b c", "LABEL", "ARG", "ARG =a", "WORKDIR", "USER", "VOLUME []"),
        *("EXPOSE", "HEALTHCHECK", "HEALTHCHECK ODD", "HEALTHCHECK CMD", "HEALTHCHECK NONE a"),
        *("HEALTHCHECK --interval=1us CMD a", "HEALTHCHECK --retries=-1 CMD a", "ONBUILD"),
        *("ONBUILD FROM a", "ONBUILD ONBUILD RUN a", "ONBUILD LABEL a", "ONBUILD --odd RUN a"),
    ],
)
def test_what_the_builder_refuses_is_an_error_with_its_line(text: str) -> None:
    with pytest.raises(CouldNotTell, match=r"line 3: "):
        parse(f"FROM a\n# b\n{text}")


@pytest.mark.parametrize(
    "text", ['FROM a\nRUN ["a"] b', "# check=a\n# escape=`\nFROM a"], ids=["json", "check"]
)
def test_what_builders_read_differently_is_an_error(text: str) -> None:
    with pytest.raises(CouldNotTell, match="builders disagree"):
        parse(text)
