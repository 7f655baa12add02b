"""Hazards: what is asked of compose, and what is told of its answer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from dotenv.main import DotEnv

from unstale.errors import ConfigError
from unstale.parity.hazards import (
    EnvText,
    Hazard,
    Refused,
    hazards,
    is_plain,
    request,
    resolved,
)

PATH = Path("/project/env/.env.ci")
NAME = "env/.env.ci"
BOTH = ("compose", "python-dotenv")
RUN = ("compose", "docker run --env-file")


class Compose:
    """Answers by path, or refuses with the words given for it; counts the questions."""

    def __init__(self, answers: Mapping[Path, Mapping[str, str | None] | str]) -> None:
        self._answers = {str(path).replace("$", "$$"): answer for path, answer in answers.items()}
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, model: Mapping[str, object]) -> Mapping[str, object]:
        services = model["services"]
        assert isinstance(services, dict)
        paths = {name: service["env_file"][0] for name, service in services.items()}
        self.asked.append(tuple(paths.values()))
        found = {}
        for name, path in paths.items():
            answer = self._answers[path]
            if isinstance(answer, str):
                raise ConfigError("docker compose refuses -.", cause=answer)
            found[name] = {"image": "x", "environment": answer} if answer else {"image": "x"}
        return {"services": found}


def found(raw: bytes, answer: Mapping[str, str | None] | str) -> tuple[Hazard, ...]:
    return hazards([EnvText(PATH, NAME, raw)], Compose({PATH: answer}))


def test_files_without_anything_special_need_no_question() -> None:
    compose = Compose({})
    plain = b"# it's $5\nA=1\r\nB=two words\nC='x # y'\n\n"

    assert hazards([EnvText(PATH, NAME, plain)], compose) == ()
    assert compose.asked == []


@pytest.mark.parametrize(
    "text",
    [
        *("A=$B", "A='$B'", "A=a\\b", "A=v # c", "A=v\t#c", 'A="x"y', "A='x", 'A="x\ny"', "BARE"),
        *("export A=1", "A: v", "A:B=v", "A =v", " A=v", "A=a\rB=c", "A=\u00a0v", "A='\u00e9'"),
        *("A-B=1", "'A'=1", "1A=1", "\u00e4=1", "A=v\t", "A=\x0b"),
    ],
)
def test_what_can_be_read_differently_is_asked(text: str) -> None:
    assert not is_plain(text)


def test_one_question_is_asked_for_all_files() -> None:
    paths = [Path(f"/project/{name}.env") for name in "abc"]
    compose = Compose({path: {"A": "x"} for path in paths})

    assert hazards([EnvText(path, path.name, b'A="x" # y\'\n') for path in paths], compose) == ()
    assert compose.asked == [tuple(map(str, paths))]


def test_a_dollar_in_a_folder_name_is_not_expanded() -> None:
    assert request([Path("/a$b/.env")]) == {
        "services": {"f0": {"image": "x", "env_file": ["/a$$b/.env"]}}
    }


def test_a_refused_file_does_not_hide_the_others() -> None:
    good, bad = Path("/good.env"), Path("/bad.env")
    compose = Compose({good: {"A": "a$$b"}, bad: "line 7: unexpected character in hunter2"})

    assert resolved([good, bad], compose) == {good: {"A": "a$b"}, bad: Refused(7)}


@pytest.mark.parametrize(
    ("raw", "answer", "line", "kind"),
    [
        pytest.param(
            b"X=1\nK=a$hunter2\n",
            {"X": "1", "K": "a"},
            2,
            "`$` without braces is expanded by compose only",
            id="no-braces",
        ),
        pytest.param(
            b"X=1\n\nK=a$$hunter2\n",
            {"X": "1", "K": "a$$hunter2"},
            3,
            "compose makes one `$` of two",
            id="two-dollars",
        ),
        pytest.param(
            b"X=1\nK='${X}hunter2'\n",
            {"X": "1", "K": "$${X}hunter2"},
            2,
            "python-dotenv expands ${} within single quotes, compose does not",
            id="single-quotes",
        ),
        pytest.param(
            b"K: hunter2\n",
            {"K": "hunter2"},
            1,
            "`KEY: value` is an assignment to compose only",
            id="colon",
        ),
        pytest.param(
            b"K=hunter2\t#c\n",
            {"K": "hunter2\t#c"},
            1,
            "what is a comment is read differently",
            id="tab-before-a-comment",
        ),
    ],
)
def test_a_hazard_has_key_line_and_kind(
    raw: bytes, answer: Mapping[str, str], line: int, kind: str
) -> None:
    assert found(raw, answer) == (Hazard("K", NAME, line, kind, BOTH),)


def test_a_bare_key_is_a_hazard_where_the_shell_has_it() -> None:
    (hazard,) = found(b"K\n", {"K": "hunter2"})

    assert hazard.kind == "a key without `=` takes the shell's value by compose only"
    assert found(b"K\n", {}) == ()


@pytest.mark.parametrize(
    ("raw", "words", "key", "line"),
    [
        pytest.param(
            b"A=1\nK='hunter2\nB=2\n",
            "line 4: unterminated quoted value 'hunter2",
            "K",
            2,
            id="open-quote-at-its-beginning",
        ),
        pytest.param(
            b"A=1\nmy hunter2=v\n", "line 2: key cannot contain a space", "", 2, id="space"
        ),
        pytest.param(
            b"A=${B}\nK=${hunter2\n", 'Invalid template: "${hunter2"', "K", 2, id="template"
        ),
        pytest.param(
            b"A=1\nK=${N:?hunter2}\n",
            "required variable N is missing a value: hunter2",
            "K",
            2,
            id="required",
        ),
        pytest.param(b"X=1\nA='1'\\\n", "refused", "A", 2, id="as-python-dotenv-sees-it"),
        pytest.param(b"A='1'#\n", "refused", "", None, id="no-line-told"),
    ],
)
def test_a_file_that_compose_refuses_is_named_by_line(
    raw: bytes, words: str, key: str, line: int | None
) -> None:
    (hazard,) = found(raw, words)

    assert hazard == Hazard(key, NAME, line, "compose refuses the file", BOTH)


def test_no_hazard_repeats_a_value_or_the_tail_of_one() -> None:
    raw = b'K="x"hunter2tail\nPASS=a$hunter2\n'
    answer = {"K": "x", "hunter2tail": "fromhost", "PASS": "a"}

    assert "hunter2" not in repr(found(raw, answer))
    assert {hazard.key for hazard in found(raw, answer)} == {"K", "", "PASS"}


def test_the_last_line_of_a_private_key_is_no_name() -> None:
    raw = b'K="-----BEGIN\nAbCd==\n'

    (hazard,) = found(raw, "line 2: unexpected character in AbCd")

    assert "AbCd" not in repr(hazard)


def test_bytes_that_are_not_utf_8_stop_python_dotenv_alone() -> None:
    (hazard,) = found(b"K=\xff\n", {"K": "\ufffd"})

    assert hazard == Hazard("", NAME, None, "python-dotenv refuses a file that is not UTF-8", BOTH)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"K='v'\n", "quotes are kept by docker run --env-file"),
        (b"K= v\n", "docker run --env-file takes the rest of the line as it is"),
        (b"K=v  \n", "docker run --env-file takes the rest of the line as it is"),
    ],
)
def test_docker_run_is_compared_only_where_it_reads_the_file(raw: bytes, kind: str) -> None:
    file = EnvText(PATH, NAME, raw, docker_run=True)

    assert hazards([file], Compose({})) == (Hazard("K", NAME, 1, kind, RUN),)
    assert hazards([EnvText(PATH, NAME, raw)], Compose({})) == ()


@pytest.mark.parametrize("raw", [b"A=1\nexport K=v\n", b"A=1\nK =v\n", b"A=1\n=v\n"])
def test_a_line_that_docker_run_refuses_is_named(raw: bytes) -> None:
    answer = {"A": "1", "K": "v"}
    file = EnvText(PATH, NAME, raw, docker_run=True)

    found = [one for one in hazards([file], Compose({PATH: answer})) if one.readers == RUN]

    assert [(one.line, one.kind) for one in found] == [
        (2, "docker run --env-file refuses the file")
    ]


def test_hazards_are_in_the_order_of_files_and_lines() -> None:
    first, second = Path("/a.env"), Path("/b.env")
    compose = Compose({first: {"B": "x", "A": "y"}, second: {"C": "z"}})
    raw = b"B=$1\nA=$2\n"

    found = hazards([EnvText(second, "b", b"C=$3\n"), EnvText(first, "a", raw)], compose)

    assert [(one.file, one.line, one.key) for one in found] == [
        ("a", 1, "B"),
        ("a", 2, "A"),
        ("b", 1, "C"),
    ]


def test_what_a_hazard_was_found_in_prints_no_value() -> None:
    assert "hunter2" not in repr(EnvText(PATH, NAME, b"K=hunter2\n"))


@pytest.mark.parametrize(
    "raw",
    [
        b"A=1\nK= v\nL=\"x\"\nM='y' \nN=\nK=w\n",
        b"\xef\xbb\xbfA='1'\r\nB=2\r\n  \r\n# c\r\nC=3 \r\n",
        b'A=" "\nA=2\nB=a b\nB="a b"\n',
    ],
)
def test_a_plain_file_has_the_hazards_that_compose_would_be_asked_for(raw: bytes) -> None:

    text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    values = {k: v for k, v in DotEnv(None, io.StringIO(text)).dict().items() if v is not None}
    asked = b"ASK='$'\n" + raw.removeprefix(b"\xef\xbb\xbf")
    plain = EnvText(PATH, NAME, raw, docker_run=True)
    file = EnvText(PATH, NAME, asked, docker_run=True)

    told = hazards([plain], Compose({}))
    of_both = hazards([file], Compose({PATH: {"ASK": "$", **values}}))

    assert told
    assert [(h.key, (h.line or 0) + 1, h.kind) for h in told] == [
        (h.key, h.line, h.kind) for h in of_both if h.readers == RUN and h.key != "ASK"
    ]


def test_a_key_that_looks_like_a_value_is_told_by_its_line() -> None:
    raw = b"A=$B\nAKIAHUNTER2HUNTER2HU=$B\n"

    (first, second) = found(raw, {"A": "", "AKIAHUNTER2HUNTER2HU": ""})

    assert (first.key, first.line) == ("A", 1)
    assert (second.key, second.line) == ("", 2)


def test_dollar_signs_that_compose_doubles_are_single_again() -> None:
    assert found(b"A='$x'\n", {"A": "$$x"}) == ()
