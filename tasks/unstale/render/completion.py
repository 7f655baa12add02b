"""Completion for bash, zsh and fish: scripts that start no Python when TAB is pressed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unstale.errors import UnknownName

__all__ = ["ENVIRONMENTS", "SHELLS", "Completed", "Option", "script"]

ENVIRONMENTS = "@environments"
"""In place of choices: what the project's files name, read by the script itself."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a task."""

    name: str
    """With its dashes."""
    help: str
    takes_value: bool
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completed:
    """A task, as far as a shell needs to know it."""

    name: str
    help: str
    options: tuple[Option, ...]
    words: tuple[str, ...] = ()
    """What its arguments without a dash may be."""


def script(shell: str, tasks: Sequence[Completed], core: Sequence[Option]) -> str:
    """The script for *shell*; *core* are the options that need no task.

    Raises:
        UnknownName: there is none for *shell*.

    """
    if shell not in SHELLS:
        raise UnknownName("shell", shell, sorted(SHELLS))
    return SHELLS[shell](tasks, core)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_HEAD = "# Completion of unstale for @, written by: unstale completion @\n"

_BASH_ENVIRONMENTS = """\
# The environments that pyproject.toml and the names of compose files tell of.
_unstale_environments() {
    local folder=$PWD line file
    found=
    while [[ $folder && ! -f $folder/pyproject.toml ]]; do folder=${folder%/*}; done
    [[ -f $folder/pyproject.toml ]] || return
    while IFS= read -r line; do
        if [[ $line =~ ^\\[tool\\.unstale\\.environments\\.([A-Za-z0-9_-]+) ]]; then
            found+=" ${BASH_REMATCH[1]}"
        fi
    done <"$folder/pyproject.toml"
    for file in "$folder"/{,docker/,compose/}{,docker-}compose.*.y{,a}ml; do
        if [[ $file =~ compose\\.([A-Za-z0-9_-]+)\\.ya?ml$ && -f $file ]]; then
            found+=" ${BASH_REMATCH[1]}"
        fi
    done
}
"""


def _values(tasks: Sequence[Completed], line: Callable[[Sequence[str], Option], str]) -> str:
    """The cases of options that take a value: those that take the same share one."""
    groups: dict[tuple[str, ...], tuple[list[str], Option]] = {}
    for task in tasks:
        for option in (o for o in task.options if o.takes_value):
            groups.setdefault(option.choices, ([], option))[0].append(
                f'"{task.name} {option.name}"'
            )
    return "".join(line(patterns, option) for patterns, option in groups.values())


def _bash(tasks: Sequence[Completed], core: Sequence[Option]) -> str:
    def value(patterns: Sequence[str], option: Option) -> str:
        if option.choices == (ENVIRONMENTS,):
            then = "_unstale_environments; words=$found"
        elif option.choices:
            then = f"words={_quoted(' '.join(option.choices))}"
        else:
            then = "compopt -o default 2>/dev/null; return"
        return f"    {' | '.join(patterns)}) {then} ;;\n"

    def more(task: Completed) -> str:
        if task.words == (ENVIRONMENTS,):
            return '_unstale_environments; words="$found $words"'
        return f'words="{" ".join(task.words)} $words"'

    names = " ".join(task.name for task in tasks)
    options = "".join(
        f"        {t.name}) words={_quoted(' '.join(o.name for o in t.options))} ;;\n"
        for t in tasks
    )
    words = "".join(f"        {t.name}) {more(t)} ;;\n" for t in tasks if t.words)
    return (
        _HEAD.replace("@", "bash")
        + _BASH_ENVIRONMENTS
        + f"""
_unstale() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    local names={_quoted(names)} task= words= found= word
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD - 1}}"; do
        [[ $word != -- ]] || {{ compopt -o default 2>/dev/null; return; }}
        [[ " $names " != *" $word "* ]] || task=$word
    done
    case "$task $before" in
{_values(tasks, value)}    *) if [[ $cur == -* ]]; then
        case $task in
{options}        *) words={_quoted(" ".join(one.name for one in core))} ;;
        esac
    else
        words=$names
        case $task in
{words}        esac
    fi ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -F _unstale unstale
"""
    )


_ZSH_ENVIRONMENTS = """\
# The environments that pyproject.toml and the names of compose files tell of.
_unstale_environments() {
    local folder=$PWD line file
    found=()
    while [[ -n $folder && ! -f $folder/pyproject.toml ]]; do folder=${folder%/*}; done
    [[ -f $folder/pyproject.toml ]] || return
    while IFS= read -r line; do
        if [[ $line =~ '^\\[tool\\.unstale\\.environments\\.([A-Za-z0-9_-]+)' ]]; then
            found+=($match[1])
        fi
    done <$folder/pyproject.toml
    for file in $folder/{,docker/,compose/}{,docker-}compose.*.y{,a}ml(N); do
        [[ $file =~ 'compose\\.([A-Za-z0-9_-]+)\\.ya?ml$' ]] && found+=($match[1])
    done
    compadd -a found
}
"""


def _described(name: str, text: str) -> str:
    return _quoted(name.replace(":", "\\:") + ":" + text)


def _zsh(tasks: Sequence[Completed], core: Sequence[Option]) -> str:
    def value(patterns: Sequence[str], option: Option) -> str:
        if option.choices == (ENVIRONMENTS,):
            then = "_unstale_environments"
        elif option.choices:
            then = f"compadd {' '.join(option.choices)}"
        else:
            then = "_files"
        return f"    ({'|'.join(patterns)}) {then}; return ;;\n"

    def options(given: Sequence[Option]) -> str:
        return " ".join(_described(one.name, one.help) for one in given)

    def more(task: Completed) -> str:
        if task.words == (ENVIRONMENTS,):
            return "_unstale_environments"
        return f"compadd {' '.join(task.words)}"

    names = " ".join(_described(task.name, task.help) for task in tasks)
    flags = "".join(f"        ({t.name}) found=({options(t.options)}) ;;\n" for t in tasks)
    words = "".join(f"        ({t.name}) {more(t)} ;;\n" for t in tasks if t.words)
    return (
        "#compdef unstale\n"
        + _HEAD.replace("@", "zsh")
        + _ZSH_ENVIRONMENTS
        + f"""
_unstale() {{
    local cur=$words[CURRENT] before=$words[CURRENT-1] task= word
    local -a found names match
    names=({names})
    for word in $words[2,CURRENT-1]; do
        [[ $word != -- ]] || {{ _files; return }}
        [[ -z ${{names[(r)${{(b)word}}:*]}} ]] || task=$word
    done
    case "$task $before" in
{_values(tasks, value)}    esac
    if [[ $cur == -* ]]; then
        case $task in
{flags}        (*) found=({options(core)}) ;;
        esac
        _describe -o option found
    else
        case $task in
{words}        esac
        _describe task names
    fi
}}
if [[ $funcstack[1] == _unstale ]]; then
    _unstale
else
    compdef _unstale unstale
fi
"""
    )


_FISH_ENVIRONMENTS = """\
# The environments that pyproject.toml and the names of compose files tell of.
function __unstale_environments
    set -l folder $PWD
    while test -n "$folder" -a ! -f "$folder/pyproject.toml"
        set folder (string replace -r '/[^/]*$' '' -- $folder)
    end
    test -f "$folder/pyproject.toml"; or return
    while read -l line
        string match -rg '^\\[tool\\.unstale\\.environments\\.([A-Za-z0-9_-]+)' -- $line
    end <"$folder/pyproject.toml"
    for file in $folder/{,docker/,compose/}{,docker-}compose.*
        string match -rg 'compose\\.([A-Za-z0-9_-]+)\\.ya?ml$' -- $file
    end
end
"""


def _fish(tasks: Sequence[Completed], core: Sequence[Option]) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def choices(given: Sequence[str]) -> str:
        named = "(__unstale_environments)" if given == (ENVIRONMENTS,) else " ".join(given)
        return f" -a {quoted(named)}"

    def option(one: Option, condition: str) -> str:
        kind = "l" if one.name.startswith("--") else "s"
        value = (
            "" if not one.takes_value else f" -x{choices(one.choices)}" if one.choices else " -rF"
        )
        name, text = one.name.lstrip("-"), quoted(one.help)
        return f"complete -c unstale -n {quoted(condition)} -{kind} {name}{value} -d {text}\n"

    lines = [
        *(f"complete -c unstale -a {quoted(t.name)} -d {quoted(t.help)}\n" for t in tasks),
        *(option(one, "__unstale_is ''") for one in core),
        *(option(one, f"__unstale_is {t.name}") for t in tasks for one in t.options),
        *(
            f"complete -c unstale -n '__unstale_is {t.name}'{choices(t.words)}\n"
            for t in tasks
            if t.words
        ),
    ]
    names = " ".join(task.name for task in tasks)
    return (
        _HEAD.replace("@", "fish")
        + _FISH_ENVIRONMENTS
        + f"""
function __unstale_is --argument-names task
    set -l last ''
    for word in (commandline -opc)[2..]
        contains -- $word {names}; and set last $word
    end
    test "$last" = "$task"
end
complete -c unstale -f
"""
        + "".join(lines)
    )


SHELLS: dict[str, Callable[[Sequence[Completed], Sequence[Option]], str]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
"""Shell to what writes its script."""
