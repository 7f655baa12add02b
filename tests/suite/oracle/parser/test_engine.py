"""What the engine refuses, we refuse; what it expands to, we expand to."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping

import pytest
from dockerfile_engine import RefusedError, check, config, content
from shell_words import BAD, ENVIRONMENTS, SPACED, TABLE, random_word

from unstale.errors import CouldNotTell
from unstale.image.dockerfile import Unresolved, parse
from unstale.image.shell import expand, expand_body, expand_words

CASES = int(os.environ.get("UNSTALE_ORACLE_CASES", "300"))
SEED = int(os.environ.get("UNSTALE_ORACLE_SEED", "3"))


def _unreached(body: str) -> str:
    """*body* where it is read but not built."""
    return f"FROM scratch AS read\n{body}\nFROM scratch\nLABEL a=b\n"


TAKEN = (
    *("RUN", "RUN []", "RUN --network=host a", "RUN --mount=type=odd a", "RUN --mount=a,b=c d"),
    *('RUN --mount=\\"a,b\\",c d', "RUN -- --odd", 'CMD ["a", 1'),
    *("CMD", "ENTRYPOINT", "ENTRYPOINT []", "COPY --link=TRUE a b", "COPY --chown= a b"),
    *('COPY --from="" a b', 'COPY ["<<A", "b"]', "ADD --checksum=a --keep-git-dir b c"),
    *("ADD --chmod=x a b", "HEALTHCHECK --odd=1 NONE", "HEALTHCHECK NONE []", "healthcheck none"),
    *("HEALTHCHECK --retries=0 CMD a", "HEALTHCHECK --retries=+7 CMD a"),
    *("HEALTHCHECK --interval=1h2m3.5s --timeout=0 --start-period=1ms CMD a",),
    *("HEALTHCHECK --start-interval=1000us --interval= CMD a",),
    *("STOPSIGNAL --odd 9", "STOPSIGNAL --odd=1 9 8", "ARG --odd=1 a=b", "ARG a b= c='d e'"),
    *("ONBUILD ODD a", "ONBUILD COPY a", "ONBUILD RUN --odd a", "ONBUILD HEALTHCHECK"),
    *("USER a b", "WORKDIR a b", "MAINTAINER a b", "EXPOSE odd", "VOLUME a b", 'SHELL ["a"]'),
    *("ENV a b=c", "ENV a= b=''", 'LABEL "a b"=c', "FROM scratch AS a.b_c-d__e", "FROM odd aS f"),
    *("FROM --platform=linux/amd64 scratch", "FROM --platform= odd"),
)
"""One Dockerfile can hold them all, so that one build tells."""

REFUSED = (
    *("ODD a", "RUN --odd a", "RUN --mount a", "RUN --mount= a", "RUN --network=odd a"),
    *("RUN --network=$a b", "RUN --network= b", "RUN --mount=from=$a b", "RUN --mount=FROM=$a b"),
    *('RUN --mount=\\"a\\"b c', 'RUN --mount=a\\"b c', 'RUN --mount=\\"a b', 'RUN ["a", 1]'),
    *("COPY a", "COPY", 'COPY ["a"]', "COPY a <<B\nB", "COPY --link=yes a b", "COPY --link= a b"),
    *("COPY --from a b c", "COPY --from=a --from=b c d", "COPY --Link a b", "COPY --odd a b"),
    *("ADD --from=a b c", "ADD a", "ADD --checksum a b", "CMD --odd a", "ENTRYPOINT --odd a"),
    *("HEALTHCHECK", "HEALTHCHECK ODD a", "HEALTHCHECK CMD", "HEALTHCHECK CMD []"),
    *("HEALTHCHECK NONE a", "HEALTHCHECK --odd=1 CMD a", "HEALTHCHECK --retries=-1 CMD a"),
    *("HEALTHCHECK --retries=x CMD a", "HEALTHCHECK --retries=2147483648 CMD a"),
    *("HEALTHCHECK --interval=1us CMD a", "HEALTHCHECK --interval=5 CMD a"),
    *(
        "HEALTHCHECK --interval=-1s CMD a",
        "HEALTHCHECK --timeout=1d CMD a",
        "HEALTHCHECK --timeout=5\u00b5s CMD a",
    ),
    *("SHELL a", "SHELL []", "SHELL", "WORKDIR", "WORKDIR --odd a", "USER", "MAINTAINER"),
    *("STOPSIGNAL", "EXPOSE", "VOLUME", "VOLUME []", 'VOLUME [""]', 'VOLUME ["\\t"]'),
    *("ENV", "ENV a", "ENV =a", "ENV a=b c", "ENV a= =b", "LABEL", "LABEL a", "LABEL =a"),
    *("ARG", "ARG =a", "ARG a =b", "ONBUILD", "ONBUILD ONBUILD RUN a", "ONBUILD FROM a"),
    *("ONBUILD MAINTAINER a", "ONBUILD --odd RUN a", "ONBUILD LABEL a", 'ONBUILD RUN ["a", 1]'),
    *("FROM", "FROM a b", "FROM a b c", "FROM a AS", "FROM a AS 1", "FROM a AS b c"),
    *("FROM a AS b/c", "FROM a AS b-", "FROM a AS b..c", "FROM --odd=a b", "FROM --platform a"),
    *(f"FROM a AS {'ab' * 32}", "RUN <<A\na", "RUN <<${A:-B C}\nB", f"RUN {'a' * 65_532}"),
)


def test_what_the_engine_takes_is_read() -> None:
    text = _unreached("\n".join(TAKEN))

    check(text)
    assert len(parse(text).stages) == 2 + sum(body.startswith("FROM") for body in TAKEN)


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: body[:40])
def test_what_the_engine_refuses_is_refused(body: str) -> None:
    with pytest.raises(CouldNotTell):
        parse(_unreached(body))
    with pytest.raises(RefusedError):
        check(_unreached(body))


# Words


def _variables(environment: Mapping[str, str]) -> str:
    """An ENV that sets them exactly: quotes don't nest, so each part has its own."""
    parts = (value.replace("'", "'\"'\"'") for value in environment.values())
    return "ENV " + " ".join(
        f"{name}='{part}'" for name, part in zip(environment, parts, strict=True)
    )


def _try(word: str, environment: Mapping[str, str], escape: str) -> str | None:
    try:
        return expand(word, environment, escape)
    except Unresolved:
        return None


def _words(escape: str) -> list[str]:
    source = random.Random(SEED)
    found = [*TABLE, *SPACED, *(random_word(source) for _ in range(CASES))]
    if escape == "`":
        found = [word.replace("\\", "`") for word in found]
    # At the end of a line the escape would join it with the next one.
    return [word for word in found if not word.endswith(escape)]


@pytest.mark.parametrize("escape", ["\\", "`"], ids=["backslash", "backtick"])
@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_words_are_expanded_as_the_engine_does(environment: dict[str, str], escape: str) -> None:
    expected = {word: _try(word, environment, escape) for word in _words(escape)}
    taken = [word for word, value in expected.items() if value is not None]
    labels = "".join(f"LABEL w{number} {word}\n" for number, word in enumerate(taken))

    found = config(f"# escape={escape}\nFROM scratch\n{_variables(environment)}\n{labels}")

    values = {word: found["Labels"][f"w{number}"] for number, word in enumerate(taken)}
    assert values == {word: expected[word] for word in taken}


@pytest.mark.parametrize("word", BAD)
def test_words_that_the_engine_refuses_are_unresolved(word: str) -> None:
    environment = ENVIRONMENTS["plain"]

    with pytest.raises(Unresolved):
        expand(word, environment)
    with pytest.raises(RefusedError):
        check(f"FROM scratch\n{_variables(environment)}\nLABEL w {word}.\n")


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_body_of_a_heredoc_is_expanded_as_the_engine_does(environment: dict[str, str]) -> None:
    bodies = [word for word in _words("\\") if _try_body(word, environment) is not None]
    body = "".join(f"{word}\n" for word in bodies)

    found = content(f"FROM scratch\n{_variables(environment)}\nCOPY <<EOF /f\n{body}EOF\n")

    assert found["f"].decode() == expand_body(body, environment)


def _try_body(word: str, environment: Mapping[str, str]) -> str | None:
    try:
        return expand_body(f"{word}\n", environment)
    except Unresolved:
        return None


HEREDOCS = """\
FROM scratch
ENV a=one
COPY <<A <<"B" <<-C <<-'D' /d/
$a "$a" '\\$a'
\ttab
A
$a
\ttab
B
\t\t$a
\t C
\tC
\t\t$a
D
COPY <<E <<E /e/
1
E
2
E
COPY ["<<F", "/f/"]
COPY <<G /g/
crlf\r
G
"""


def test_heredocs_hold_what_the_engine_writes() -> None:
    variables = {"a": "one"}
    copies = [one for one in parse(HEREDOCS).stages[0].instructions if one.name == "COPY"]

    assert content(HEREDOCS) == {
        f"{one.words[-1][1:]}{h.name}": (
            expand_body(h.content, variables) if h.expand else h.content
        ).encode()
        for one in copies
        for h in one.inline
    }


PORTS = {"one": "80", "two": "81 82/udp", "empty": "", "blank": "  85\t86 "}


def test_words_are_split_after_they_are_expanded_as_the_engine_does() -> None:
    text = 'EXPOSE $one ${two} $empty "$one" ${u:-87} $blank 8${one}'

    found = config(f"FROM scratch\n{_variables(PORTS)}\n{text}\n")

    words = [
        word
        for part in parse(f"FROM a\n{text}").stages[0].instructions[0].words
        for word in expand_words(part, PORTS)
    ]
    ports = {word if "/" in word else f"{word}/tcp" for word in words}
    assert set(found["ExposedPorts"]) == ports


ONBUILD = r"""FROM scratch
ONBUILD RUN a  b
 onbuild	copy --from=a b c
ONBUILD RUN a \
 # no
  b
ONBUILD COPY <<A /b
c
A
ONBUILD -- RUN a
ONBUILD ODD
"""


def test_a_trigger_is_what_the_image_holds() -> None:
    found = parse(ONBUILD).stages[0].instructions

    assert config(ONBUILD)["OnBuild"] == [one.text for one in found]


def test_an_image_holds_the_command_that_was_read() -> None:
    body = (
        'HEALTHCHECK cmd ["a", "b  c"]\nCMD a  "b" \\\n  # no\n  c \nENTRYPOINT ["d", "\\u00e9"]\n'
    )
    _, command, entry = parse(f"FROM scratch\n{body}").stages[0].instructions

    found = config(f"FROM scratch\n{body}")

    assert found["Cmd"] == ["/bin/sh", "-c", command.text]
    assert (found["Entrypoint"], found["Healthcheck"]["Test"]) == (
        list(entry.json_words or ()),
        ["CMD", "a", "b  c"],
    )
