"""The ``Config`` of an image while its Dockerfile is followed. Pure.

What an image says of itself: its command, user, ports, labels. A difference in
it is a difference in the image, though no file of it changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from unstale.facts import ImageFact
from unstale.image.dockerfile import Instruction, Unresolved, name_values
from unstale.image.statements import health

__all__ = ["Config", "command", "commands", "configure", "copied", "fits", "key", "needed", "start"]

# Any: the values are of as many shapes as Config has fields.
Config = dict[str, Any]

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEFAULT_SHELL = ("/bin/sh", "-c")
_INHERITED = (
    *("User", "Cmd", "Healthcheck", "WorkingDir", "Entrypoint", "OnBuild", "Labels"),
    *("StopSignal", "Shell", "ArgsEscaped"),
)

# What a RUN or a COPY of a stage depends on, whoever gets its Config.
_RUNNING = ("Env", "OnBuild", "User", "WorkingDir", "Shell")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_set(value: object) -> bool:
    return isinstance(value, dict) and all(one == {} for one in value.values())


def _is_check(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(one, int) or _is_list(one) for one in value.values()
    )


_SHAPES: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("User", "WorkingDir", "StopSignal"), _is_text),
    **dict.fromkeys(("Cmd", "Entrypoint", "OnBuild", "Shell", "Env"), _is_list),
    **dict.fromkeys(("ExposedPorts", "Volumes"), _is_set),
    "Labels": _is_mapping,
    "Healthcheck": _is_check,
    "ArgsEscaped": lambda value: isinstance(value, bool),
}


def start(fact: ImageFact | None) -> Config:
    """What a stage inherits from its base image; None: from scratch."""
    base: Config = {} if fact is None else json.loads(fact.config)
    found = {name: base[name] for name in _INHERITED if base.get(name)}
    labels = {k: v for k, v in (found.pop("Labels", None) or {}).items() if not _is_stamp(k)}
    found |= {"Labels": labels} if labels else {}
    variables = dict(_pair(line) for line in base.get("Env") or ())
    variables.setdefault("PATH", _DEFAULT_PATH)
    return {
        **found,
        "Env": variables,
        "ExposedPorts": set(base.get("ExposedPorts") or ()),
        "Volumes": set(base.get("Volumes") or ()),
    }


def needed(fact: ImageFact, *, is_inherited: bool) -> Config:
    """What a digest needs of the Config of an image that a stage starts from.

    Not *is_inherited*: the target's Config has nothing of it, its variables and how
    its instructions run count all the same.
    """
    base: Config = json.loads(fact.config)
    names = (*_INHERITED, "Env", "ExposedPorts", "Volumes") if is_inherited else _RUNNING
    found = {name: base[name] for name in names if base.get(name)}
    labels = {k: v for k, v in found.pop("Labels", {}).items() if not _is_stamp(k)}
    return found | ({"Labels": labels} if labels else {})


def fits(config: object) -> bool:
    """Whether *config*, of unknown origin, is what `needed` returns: its fields and types."""
    return isinstance(config, dict) and all(
        name in _SHAPES and _SHAPES[name](value) for name, value in config.items()
    )


def _is_stamp(label: str) -> bool:
    """Whether each build writes the label anew, whatever the base image has."""
    return label.startswith(("dev.unstale.", "com.docker.compose.")) or label in (
        "org.opencontainers.image.revision",
        "org.opencontainers.image.created",
    )


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name, value


def copied(config: Config) -> Config:
    """*config* for a stage of its own."""
    return {k: type(v)(v) if isinstance(v, dict | list | set) else v for k, v in config.items()}


def key(config: Config) -> str:
    """*config* as text; two that say the same give the same."""
    # ENV is a list in Config, so its order shows; labels are a mapping.
    found = {k: list(v.items()) if k == "Env" else v for k, v in config.items() if v}
    return json.dumps(found, sort_keys=True, default=sorted)


def commands(config: str) -> dict[str, object]:
    """How an image whose Config is *config* is run: the part that is written one way only."""
    found: Config = json.loads(config)
    # A list of lines in an image, of pairs where a Dockerfile is followed.
    lines = (_pair(one) if isinstance(one, str) else tuple(one) for one in found.get("Env") or ())
    # The builder adds the default PATH or not, as the base image has one or not.
    variables = {n: v for n, v in lines if (n, v) != ("PATH", _DEFAULT_PATH)}
    names = ("Cmd", "Entrypoint", "User")
    folder = found.get("WorkingDir") or "/"
    return {
        "Env": variables,
        "WorkingDir": folder,
        **{name: found.get(name) or None for name in names},
    }


def configure(
    config: Config,
    one: Instruction,
    word: Callable[[str], str],
    words: Callable[[str], tuple[str, ...]],
) -> None:
    """Apply an instruction that changes no file and no variable.

    *word* expands to one word; *words* splits what it expands to.

    Raises:
        Unresolved: it is no such instruction.

    """
    match one.name:
        case "LABEL":
            pairs = {word(n): word(v or "") for n, v in name_values(one)}
            config.setdefault("Labels", {}).update(pairs)
        case "USER":
            config["User"] = word(one.text)
        case "STOPSIGNAL":
            config["StopSignal"] = word(one.text)
        case "SHELL":
            config["Shell"] = list(one.words)
        case "ONBUILD":
            config.setdefault("OnBuild", []).append(one.text)
        case "MAINTAINER":
            config["Author"] = one.text  # beside Config, and as much of the image's id
        case _:
            _extend(config, one, word, words)


def _extend(
    config: Config,
    one: Instruction,
    word: Callable[[str], str],
    words: Callable[[str], tuple[str, ...]],
) -> None:
    match one.name:
        case "EXPOSE":
            ports = {_port(part) for text in one.words for part in words(text)}
            config["ExposedPorts"].update(ports)
        case "VOLUME":
            config["Volumes"].update(word(text) for text in one.words)
        case "HEALTHCHECK":
            # "CMD a" goes to a shell, CMD ["a"] does not: both have these words.
            is_list = health(one.text)[1].startswith("[")
            config["Healthcheck"] = [*sorted(one.flags), is_list, *one.words]
        case "CMD":
            config["Cmd"] = command(one, config)
        case "ENTRYPOINT":
            config["Entrypoint"] = command(one, config)
        case _:
            raise Unresolved(f"line {one.line}: {one.name}")


def command(one: Instruction, config: Config) -> list[str]:
    """The argument list that CMD, ENTRYPOINT or RUN stands for."""
    listed = one.json_words
    if listed is not None:
        return list(listed)
    return [*(config.get("Shell") or _DEFAULT_SHELL), one.script]


def _port(word: str) -> str:
    return word if "/" in word else f"{word}/tcp"
