"""What a project had before: its tasks.py, Makefile and scripts, in any shape."""

from __future__ import annotations

import soup
from hypothesis import given

from unstale.survey import neighbours
from unstale.survey.adoption import adoption
from unstale.survey.thin import thin

TASKS = soup.repository("tasks.py")[0]
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


@given(soup.texts([TASKS], words=("@task\n", "def a(c):\n", "ns = ", "from unstale import ns\n")))
def test_tasks(text: str) -> None:
    assert all(name.isidentifier() for name in neighbours.hidden_tasks(text))


@given(soup.texts([MAKEFILE], words=MAKE))
def test_makefile(text: str) -> None:
    found = adoption("Makefile", text, lambda _: SCRIPT)

    assert {row.line for row in found.unknown} <= {*range(1, text.count("\n") + 2)}
    thin(text, found)


@given(soup.texts([SCRIPT], words=SHELL))
def test_script(text: str) -> None:
    found = adoption("a.sh", text, lambda _: text)

    assert found.units[0].name == "a.sh"
