"""What a project had before: its Makefile and scripts, in any shape."""

from __future__ import annotations

import soup
from hypothesis import given

from unstale.survey.adoption import adoption
from unstale.survey.thin import thin

MAKEFILE, SCRIPT = soup.repository(
    "tests/suite/unit/classic/Makefile", "tests/suite/unit/classic/scripts/test-integration.sh"
)
SHELL = (
    *(
        "if ",
        "then ",
        "fi\n",
        "case $1 in\n",
        "a) ",
        ";;\n",
        "esac\n",
        "for x in ",
        "do ",
        "done\n",
    ),
    *("f() {\n", "}\n", "$(", "${", "`", "<<EOF\n", "EOF\n", "docker compose ", "exec ", "run "),
    *("pytest ", "build ", "-f ", "--build-arg ", "alembic ", "./a.sh ", "docker run ", "| grep "),
    *("X=(", "((", "[[ ", "]] ", "\\\n", "trap ", "sleep 1\n", "timeout ", "psql -c "),
)
MAKE = (*SHELL, "a: ", "\n\t", "$(MAKE) ", "$(X) ", "X := ", "define X\n", "endef\n", "include ")


@given(soup.texts([MAKEFILE], words=MAKE))
def test_makefile(text: str) -> None:
    found = adoption("Makefile", text, lambda _: SCRIPT)

    assert {row.line for row in found.unknown} <= {*range(1, text.count("\n") + 2)}
    thin(text, found)


@given(soup.texts([SCRIPT], words=SHELL))
def test_script(text: str) -> None:
    found = adoption("a.sh", text, lambda _: text)

    assert found.units[0].name == "a.sh"
