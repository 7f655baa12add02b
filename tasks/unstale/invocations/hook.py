"""``hook``: a proof as pre-commit asks it, which lets a commit go where there is no engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invoke import Context, task

from unstale.errors import EngineUnavailable, Outcome, UnknownName, outcome_of, worst
from unstale.invocations.boundary import QuietTask, entry, finish
from unstale.spoken import as_typed

if TYPE_CHECKING:
    from unstale.project import Project

__all__ = ["QUESTIONS", "hook"]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a question came to; *lines* are read where it is red."""

    outcome: Outcome
    word: str
    """In a line: what is proven, or why the question was skipped."""
    lines: tuple[str, ...] = ()
    is_skipped: bool = False


def _skipped(why: str) -> _Answer:
    return _Answer(Outcome.PROVEN, why, is_skipped=True)


def _image(project: Project, env: str | None) -> _Answer:
    found = project.image_status(env)
    from unstale.render import text
    from unstale.verdict import Missing, Stale, Unknown

    verdicts = [one.verdict for one in found]
    is_wrong = any(isinstance(v, Stale | Missing) for v in verdicts)
    is_unknown = any(isinstance(v, Unknown) for v in verdicts)
    lines = tuple(text.image_status(found, project.image_background(found, env), env))
    names = ", ".join(one.service for one in found)
    if is_wrong:
        return _Answer(Outcome.MISMATCH, "an image is not what is here", lines)
    if is_unknown:
        return _Answer(Outcome.UNKNOWN, "it can't be told whether the images are fresh", lines)
    return _Answer(Outcome.PROVEN, f"{names} fresh" if names else "nothing is built here", lines)


def _env(project: Project, env: str | None) -> _Answer:
    del env  # all of them
    if not project.settings.pairs:
        return _skipped("there are not two environments to compare")
    found = project.env_check()
    from unstale.invocations.env import outcome, view
    from unstale.render import parity

    gating = project.settings.parity.has_policy
    lines = tuple(parity.check_text(found, view(show_values=False), gating=gating))
    how = outcome(found)
    word = "the environments agree" if how is Outcome.PROVEN else "the environments differ"
    return _Answer(how, word, lines)


def _heads(project: Project, env: str | None) -> _Answer:
    del env  # the files are the same for all
    found = project.migration_heads()
    if not found:
        return _skipped("there is no alembic.ini here")
    lines = tuple(
        f"{ini}: {', '.join(heads) if heads is not None else 'its migrations are not found'}"
        for ini, heads in found.items()
    )
    outcomes = [
        Outcome.UNKNOWN if h is None else Outcome.MISMATCH if len(h) > 1 else Outcome.PROVEN
        for h in found.values()
    ]
    match worst(outcomes):
        case Outcome.MISMATCH:
            hint = 'Next: alembic merge heads -m "merge", or let one follow the other'
            return _Answer(Outcome.MISMATCH, "there are several heads", (*lines, hint))
        case Outcome.UNKNOWN:
            return _Answer(Outcome.UNKNOWN, "the heads can't be told", lines)
        case _:
            return _Answer(Outcome.PROVEN, "; ".join(lines))


def _schema(project: Project, env: str | None) -> _Answer:
    if not project.stack_containers(env):
        return _skipped("no stack is up, so there is no database to look at (inv stack.up)")
    from unstale.render import text
    from unstale.schema.status import problem

    found = project.db_check(lambda _: None, env)
    lines = tuple(text.schema(found))
    if found is None:
        return _skipped("this project has no schema to check")
    error = problem(found)
    if error is None:
        return _Answer(Outcome.PROVEN, f"the schema is {found.state}", lines)
    told = project.mask(f"{error.what}\nNext: {error.hint}").splitlines()
    return _Answer(outcome_of(error), f"the schema is {found.state}", (*lines, *told))


QUESTIONS: dict[str, Callable[[Project, str | None], _Answer]] = {
    "image": _image,
    "env": _env,
    "heads": _heads,
    "schema": _schema,
}


@task(
    klass=QuietTask,
    positional=["question"],
    help={"question": "image, env, heads or schema"},
)
def hook(_ctx: Context, question: str, env: str | None = None, json: bool = False) -> None:
    """Ask one question for pre-commit: red on a finding, skipped without an engine."""
    with entry("hook", as_json=json) as project:
        if question not in QUESTIONS:
            raise UnknownName("question", question, sorted(QUESTIONS))
        try:
            answer = QUESTIONS[question](project, env)
        except EngineUnavailable as error:
            # Whoever has no Docker commits all the same; CI asks again, and is not skipped.
            answer = _skipped(project.mask(" ".join(filter(None, (error.what, error.cause)))))
        _tell(project, question, answer, as_json=json)
        finish(answer.outcome)


def _tell(project: Project, question: str, answer: _Answer, *, as_json: bool) -> None:
    from unstale.render import console, document

    is_red = answer.outcome is not Outcome.PROVEN
    if as_json:
        body = {
            "question": question,
            "outcome": None if answer.is_skipped else answer.outcome.value,
            "skipped": answer.is_skipped,
            "answer": answer.word,
            "report": [project.mask(line) for line in answer.lines] if is_red else [],
        }
        document.write("hook", body)
        return
    lines = (f"{question}: {_mark(answer)}{answer.word}", *(answer.lines if is_red else ()))
    console.print_lines([as_typed(line) for line in lines])


def _mark(answer: _Answer) -> str:
    return "SKIPPED, not proven: " if answer.is_skipped else ""
