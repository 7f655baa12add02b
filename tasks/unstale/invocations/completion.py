"""``completion``: a script for the shell, made of the tasks that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke import Argument, Collection, Context, Task, task

from unstale.invocations.boundary import QuietTask, edge

if TYPE_CHECKING:
    from unstale.render.completion import Completed, Option

__all__ = ["completed", "completion"]

# Those of Invoke's own that mean something here.
_CORE = frozenset({"dry", "echo", "help", "list", "version"})
_ENVIRONMENTS = frozenset({"env", "envs", "left", "right"})


@task(klass=QuietTask, positional=["shell"], help={"shell": "bash, zsh or fish"})
def completion(_ctx: Context, shell: str, json: bool = False) -> None:
    """Print a script that completes tasks, options and environments, without Python."""
    with edge("completion", as_json=json):
        from unstale.invocations import ns
        from unstale.render import console, document
        from unstale.render.completion import script

        text = script(shell, completed(ns), _core())
        if json:
            document.write("completion", {"shell": shell, "script": text})
        else:
            console.print_lines(text.splitlines())


def completed(namespace: Collection) -> tuple[Completed, ...]:
    """The tasks of *namespace* as a shell completes them."""
    from unstale.render.completion import Completed

    found = {name: namespace[name] for name in sorted(namespace.task_names)}
    return tuple(
        Completed(name, _line(one), _options(name, one), _words(name, one))
        for name, one in found.items()
    )


def _line(one: Task[Any]) -> str:
    return (one.__doc__ or "").strip().partition("\n")[0]


def _options(name: str, one: Task[Any]) -> tuple[Option, ...]:
    return tuple(
        _option(argument, _choices(name, str(argument.name)))
        for argument in one.get_arguments()
        if not argument.positional
    )


def _option(argument: Argument, choices: tuple[str, ...] = ()) -> Option:
    from unstale.render.completion import Option

    flag = f"--{str(argument.name).replace('_', '-')}"
    return Option(flag, argument.help or "", argument.takes_value, choices)


def _words(name: str, one: Task[Any]) -> tuple[str, ...]:
    positional = [str(a.name) for a in one.get_arguments() if a.positional]
    return _choices(name, positional[0]) if positional else ()


def _choices(task_name: str, argument: str) -> tuple[str, ...]:
    """What *argument* may be, from where it is checked."""
    from unstale.invocations import env, hook
    from unstale.pipeline.explanation import KINDS
    from unstale.render.completion import ENVIRONMENTS, SHELLS
    from unstale.render.workflow import PROVIDERS

    if argument in _ENVIRONMENTS:
        return (ENVIRONMENTS,)
    known: dict[tuple[str, str], tuple[str, ...]] = {
        ("env.diff", "format"): env.FORMATS,
        ("env.check", "format"): env.FORMATS,
        ("ci.workflow", "provider"): PROVIDERS,
        ("hook", "question"): tuple(hook.QUESTIONS),
        ("why", "proof"): KINDS,
        ("completion", "shell"): tuple(SHELLS),
    }
    return known.get((task_name, argument), ())


def _core() -> tuple[Option, ...]:
    """Invoke's own options, which come before a task."""
    from invoke import Program

    return tuple(_option(one) for one in Program().core_args() if one.name in _CORE)
