"""Keys that an env file lacks: what is added, where, and what never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from unstale.errors import ConfigError, CouldNotTell
from unstale.parity import envfile
from unstale.parity.sync import Document, Unwritable, apply, assignment, load, plan, preview

PATH = Path("env/.env.ci")


def doc(text: str) -> Document:
    return Document(PATH, text)


def synced(text: str, example: str, *siblings: str) -> str:
    return apply(text, plan(doc(text), doc(example), siblings))


EXAMPLE = """\
# --- Service ---
# Name of the environment.
ENVIRONMENT=dev
# How much is logged.
LOG_LEVEL=INFO

# --- Tokens ---
# Signs tokens.
JWT_SECRET=change-me
# Seconds, and ${LIVES} of them.
LIFE_S=900
# Optional.
# PROXY=http://proxy.example.com
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param(
            "ENVIRONMENT=ci\nPORT=1\n",
            "ENVIRONMENT=ci\n# How much is logged.\nLOG_LEVEL=INFO\n\n# --- Tokens ---\n"
            "# Signs tokens.\n# JWT_SECRET=\n# Seconds, and ${LIVES} of them.\n"
            "LIFE_S=900\nPORT=1\n",
            id="behind-the-neighbour",
        ),
        pytest.param(
            "# --- Service ---\n# Name of the environment.\nENVIRONMENT=ci\nLOG_LEVEL=DEBUG\n\n"
            "# --- Tokens ---\nLIFE_S=1\n",
            "# --- Service ---\n# Name of the environment.\nENVIRONMENT=ci\nLOG_LEVEL=DEBUG\n\n"
            "# --- Tokens ---\n# Signs tokens.\n# JWT_SECRET=\nLIFE_S=1\n",
            id="under-a-heading-that-is-there",
        ),
        pytest.param(
            "LOG_LEVEL=INFO\nJWT_SECRET=x\nLIFE_S=1\n",
            "LOG_LEVEL=INFO\nJWT_SECRET=x\nLIFE_S=1\n# --- Service ---\n"
            "# Name of the environment.\nENVIRONMENT=dev\n",
            id="at-the-end-without-a-neighbour",
        ),
    ],
)
def test_a_key_comes_where_the_example_has_it(text: str, wanted: str) -> None:
    assert synced(text, EXAMPLE) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("A=1\n", "A=1\nB=2\n", id="lf"),
        pytest.param("A=1\r\n", "A=1\r\nB=2\r\n", id="crlf"),
        pytest.param("A=1", "A=1\nB=2", id="no-final-newline"),
        pytest.param("C=1\r\nA=1", "C=1\r\nA=1\r\nB=2", id="crlf-without-the-last"),
        pytest.param("", "A=1\nB=2\n", id="empty"),
        pytest.param("\ufeffA=1\n", "\ufeffA=1\nB=2\n", id="byte-order-mark"),
        pytest.param("A='x\ny'  # c\nC=1\n", "A='x\ny'  # c\nB=2\nC=1\n", id="several-lines"),
    ],
)
def test_line_ends_and_the_last_one_stay_what_they_are(text: str, wanted: str) -> None:
    assert synced(text, "A=1\nB=2\n") == wanted


@pytest.mark.parametrize("example", [EXAMPLE, "A=1\n\n# b\nB='x y'\n", "LOG_LEVEL=$$\n"])
@pytest.mark.parametrize("text", ["", "LOG_LEVEL=1", "ENVIRONMENT=ci\r\n\r\nZ=1\r\n", "\n\n# c\n"])
def test_a_second_run_adds_nothing_and_what_was_there_stays(text: str, example: str) -> None:
    once = synced(text, example, "OTHER", "ZED")

    assert synced(once, example, "OTHER", "ZED") == once
    lines = iter(once.splitlines())
    assert all(any(line == one for one in lines) for line in text.splitlines())


def test_a_key_that_only_other_environments_have_becomes_a_placeholder() -> None:
    assert synced("A=1\n", "A=1\n", "LOG_LEVEL", "A") == "A=1\n# LOG_LEVEL=\n"


def test_without_an_example_every_key_is_a_placeholder() -> None:
    made = plan(doc("A=1\n"), None, ("C", "B"))

    assert apply("A=1\n", made) == "A=1\n# B=\n# C=\n"
    assert all(one.is_placeholder for one in made.additions)


@pytest.mark.parametrize(
    "line",
    ["JWT_SECRET=hunter2-x", "URL=redis://:hunter2-x@cache.example.com", "DB_PASS='hunter2-x'"],
)
def test_a_secret_is_not_taken_from_the_example_either(line: str) -> None:
    made = plan(doc("A=1\n"), doc(line))
    text = apply("A=1\n", made)

    assert text == f"A=1\n# {line.partition('=')[0]}=\n"
    assert "hunter2" not in "\n".join(preview("A=1\n", made, show_values=True)) + repr(made)


def test_an_optional_key_of_the_example_is_added_only_if_others_have_it() -> None:
    example = "A=1\n# Optional.\n# PROXY=http://proxy.example.com\n"

    assert synced("A=1\n", example) == "A=1\n"
    assert synced("A=1\n", example, "PROXY") == "A=1\n# Optional.\n# PROXY=\n"


def test_a_reference_stays_a_reference() -> None:
    example = 'HOST=h\nURL=http://${HOST}/\nTITLE="at ${HOST} # 1"\n'

    assert synced("HOST=x\n", example) == 'HOST=x\nURL=http://${HOST}/\nTITLE="at ${HOST} # 1"\n'


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("", "K="),
        ("a=b:/c", "K=a=b:/c"),
        ("a b", "K='a b'"),
        ("a#b", "K='a#b'"),
        ("a$b", "K='a$b'"),
        ("a\\b", "K='a\\b'"),
        ('a"b', "K='a\"b'"),
        ("it's", 'K="it\'s"'),
        ("a\\", 'K="a\\\\"'),
        ('\\\\"', 'K="\\\\\\\\\\""'),
        ("\u00e9", "K='\u00e9'"),
    ],
)
def test_a_value_is_quoted_so_that_all_read_it_alike(value: str, line: str) -> None:
    assert assignment("K", value) == line
    assert envfile.parse(PATH, line.encode()).values == {"K": value}


@pytest.mark.parametrize("value", ["it's $5", "${A}", "a\nb", "\x1b[0m", "$\\"])
def test_what_no_line_gives_to_all_is_refused_with_its_reason(value: str) -> None:
    answer = assignment("K", value)

    assert isinstance(answer, Unwritable)
    assert answer.reason


def test_a_refused_key_is_told_without_its_value() -> None:
    made = plan(doc("A=1\n"), doc('A=1\nGREETING="it\'s $5"\nB=2\n'))

    assert apply("A=1\n", made) == "A=1\nB=2\n"
    assert [one.key for one in made.refused] == ["GREETING"]
    assert "$5" not in "\n".join(preview("A=1\n", made, show_values=True)) + repr(made)


def test_the_preview_says_where_and_hides_values() -> None:
    made = plan(doc("A=1\nC=3\n"), doc("A=1\n# Two.\nB=2\nC=3\nD=4\n"), ("Z",))

    assert preview("A=1\nC=3\n", made) == (
        f"--- {PATH}",
        f"+++ {PATH}",
        "@@ -1,0 +2,2 @@ after A",
        "+# Two.",
        "+B=…",
        "@@ -2,0 +5,1 @@ after C",
        "+D=…",
        "@@ -2,0 +6,1 @@",
        "+# Z=",
    )
    assert "+B=2" in preview("A=1\nC=3\n", made, show_values=True)


def test_a_complete_file_has_an_empty_plan() -> None:
    made = plan(doc("B=\n# A=\n"), doc("A=1\nB=2\n"), ("A", "B"))

    assert made.is_empty
    assert preview("B=\n# A=\n", made) == ()


def test_a_file_is_loaded_with_every_character(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbfA=1\r\n")

    assert load(path).text == "\ufeffA=1\r\n"


@pytest.mark.parametrize(
    ("raw", "error"), [(b"A='hunter2\n", ConfigError), (b"A=encrypted:x\n", CouldNotTell)]
)
def test_a_file_that_can_not_be_read_is_not_edited(
    tmp_path: Path, raw: bytes, error: type[Exception]
) -> None:
    path = tmp_path / ".env"
    path.write_bytes(raw)

    with pytest.raises(error):
        load(path)


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJoZXJvbiJ9.heron-72"


def test_a_value_that_another_environment_has_for_a_key_is_not_copied() -> None:
    made = plan(doc("A=1\n"), None, ("B", JWT, "AKIAHERONHERONHERON7", "line 4"))

    assert apply("A=1\n", made) == "A=1\n# B=\n"
    (refused,) = made.refused
    assert refused == Unwritable("a key of another environment", "it may be a piece of a value")
    assert "eron" not in "\n".join(preview("A=1\n", made, show_values=True)) + repr(made)


@pytest.mark.parametrize("bare", [JWT, "heron72", "export heron72", "heronPlover"])
def test_a_bare_line_of_the_example_that_may_be_a_value_is_not_copied(bare: str) -> None:
    made = plan(doc("A=1\n"), doc(f"A=1\n\n{bare}\nB=2\n"))

    assert apply("A=1\n", made) == "A=1\nB=2\n"
    assert [one.key for one in made.refused] == ["line 3 of the example"]
    assert "eron" not in "\n".join(preview("A=1\n", made, show_values=True)) + repr(made)
    assert plan(doc(f"A=1\nB=1\n{bare}\n"), doc(f"A=1\nB=2\n{bare}\n")).is_empty


@pytest.mark.parametrize("bare", ["HOSTVAR", "http_proxy"])
def test_a_bare_name_of_the_example_is_copied(bare: str) -> None:
    assert synced("A=1\n", f"A=1\n{bare}\n") == f"A=1\n{bare}\n"


def test_a_bare_name_that_another_environment_assigns_is_copied() -> None:
    assert synced("A=1\n", "A=1\nregion\n", "region") == "A=1\nregion\n"
