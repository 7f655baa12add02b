"""The pages in a real browser: on a phone and a desk, in the light and in the dark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from browser import Browser, Look, find, rows_of
from told import FIX, HEAD, JUNIT, STATE, UNSIGNED, found, green, red

from unstale.facts import CommitFact
from unstale.pipeline.report import gathered
from unstale.render import html
from unstale.render.report import report

LONG = "a_name_without_an_end_" * 30
FRAMES = ((390, False), (390, True), (1280, False), (1280, True))


class World:
    """Evidence of a red run whose words harm, and a repository of two commits."""

    logs: ClassVar = {
        "junit.xml": JUNIT,
        "service-postgres.log": f"FATAL: out of memory\n</pre><script>planted = 1</script>{LONG}\n",
        "run_tests.log": "2 failed",
    }

    def end_of(self, path: Path, most: int) -> tuple[bytes, int] | None:
        raw = self.logs.get(path.name, "").encode()
        return (raw[-most:], len(raw)) if raw else None

    def glob(self, folder: Path, _: str) -> tuple[Path, ...]:
        return (folder / "service-postgres.log",)

    def commits_since(self, _: object) -> tuple[CommitFact, ...]:
        return (HEAD, FIX)

    def log(self, limit: int) -> tuple[CommitFact, ...]:
        del limit
        return (HEAD, FIX)


def _page(document: dict[str, Any]) -> str:
    world: Any = World()
    return report(*gathered(world, world, STATE, found(document), UNSIGNED, ()))


def _timeline() -> str:
    world: Any = World()
    _, drawn = gathered(world, world, STATE, found(green()), UNSIGNED, ())
    assert drawn is not None
    return html.timeline(drawn)


PAGES = {
    "green": _page(green()),
    "red": _page(red(f"{LONG} \u05d0\u05d1\u05d2 <b>")),
    "timeline": _timeline(),
}
BAD = "<body style='margin: 0; background: #fff'><p style='width: 900px; color: #ccc'>wide"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return find(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def looks(browser: Browser) -> Mapping[str, tuple[Look, ...]]:
    """Each page at each width and in each scheme, and one that is as it must not be."""
    frames = [(page, *frame) for page in (*PAGES.values(), BAD) for frame in FRAMES]
    found = browser.looks(frames)
    size = len(FRAMES)
    names = (*PAGES, "bad")
    return {name: found[n * size : (n + 1) * size] for n, name in enumerate(names)}


@pytest.mark.parametrize("name", PAGES)
def test_each_page_fits_and_can_be_read_on_a_phone_and_a_desk(
    name: str, looks: Mapping[str, tuple[Look, ...]]
) -> None:
    assert [(look["width"], look["dark"]) for look in looks[name]] == list(FRAMES)
    for look in looks[name]:
        assert look["texts"] > 10
        assert look["scrolls"] <= look["width"], look["wide"]
        assert look["wide"] == []
        assert look["faint"] == []
        assert look["scripts"] == []
    assert len({look["page"] for look in looks[name]}) == 2


def test_a_page_that_does_not_fit_or_can_not_be_read_is_found(
    looks: Mapping[str, tuple[Look, ...]],
) -> None:
    phone, _, desk, _ = looks["bad"]

    assert (phone["scrolls"] > 390, bool(phone["wide"])) == (True, True)
    assert (desk["scrolls"], desk["wide"]) == (1280, [])
    assert desk["faint"] == [["wide", 1.61]]


@pytest.mark.parametrize(("name", "width", "dark"), [("green", 1280, False), ("red", 390, True)])
def test_a_page_draws_something_and_the_console_stays_silent(
    name: str, width: int, dark: bool, browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / f"{name}.html"
    page.write_text(PAGES[name], encoding="utf-8")

    picture, said = browser.screenshot(page, width, 1200, dark=dark)

    assert said == ""
    assert len(rows_of(picture)) > 100


def test_the_policy_of_a_page_lets_no_script_run(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "planted.html"
    page.write_text(PAGES["green"].replace("</body>", "<script>planted = 1</script></body>"))

    _, said = browser.screenshot(page, 1280, 400, dark=False)

    assert "Content Security Policy" in said
