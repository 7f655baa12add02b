"""Environments compared and judged: where parity meets compose, the engine and the tree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from unstale.config import Pair, Settings
from unstale.errors import CouldNotTell, Interrupted, Mismatch, UnstaleError, UsageError
from unstale.parity import compare, effects, envfile, policy, sources
from unstale.parity.hazards import EnvText, Hazard, hazards
from unstale.parity.matrix import Matrix, marks_of
from unstale.parity.matrix import matrix as as_matrix
from unstale.parity.model import Difference, EnvironmentFacts
from unstale.parity.report import AllowedDifference, PairReport, ParityReport, Remark
from unstale.pipeline.environments import EnvFiles, Ground, Known, known, with_receipts

if TYPE_CHECKING:
    from unstale.parity.reads import Reads

__all__ = ["compared", "describe", "matrix", "open_differences", "pairs_of", "require", "summary"]

# As many as a person reads in one go.
_MOST = 8


@dataclass(frozen=True, slots=True)
class _Scene:
    """What is known of all environments that are compared, and of the code."""

    ground: Ground
    by_name: Mapping[str, Known]
    reads: Reads
    mentions: Collection[str]

    @classmethod
    def of(cls, ground: Ground, names: Sequence[str]) -> _Scene:
        """Ask about all at once. Raises what `known` raises."""
        found = known(ground, names)
        by_name = {one.facts.name: one for one in found}
        return cls(ground, by_name, ground.reads(), ground.mentions())

    @property
    def facts(self) -> tuple[EnvironmentFacts, ...]:
        """The facts of all, in the order they were asked for."""
        return tuple(one.facts for one in self.by_name.values())

    @property
    def secret(self) -> frozenset[str]:
        """What the code calls a secret."""
        return frozenset(read.name for read in self.reads.reads if read.is_secret)

    def judged(self, pairs: Iterable[Pair]) -> tuple[policy.Judged, ...]:
        """Each of *pairs*, compared and held against the policy."""
        rules, today = self.ground.settings.parity.allow, self.ground.today
        return tuple(
            policy.judge(pair, self._differences(*(self.by_name[n] for n in pair)), rules, today)
            for pair in pairs
        )

    def _differences(self, left: Known, right: Known) -> tuple[Difference, ...]:
        """What differs, with what is known of its effect, in the order of `compare.order`."""
        facts = with_receipts(self.ground, (left, right))
        found = compare.compare(facts[0], facts[1], secrets=self.secret)
        if self.ground.files_only:
            return found  # without the containers nobody knows who uses a variable
        found = effects.with_effects(
            found,
            left.facts,
            right.facts,
            self.reads,
            images={one.facts.name: one.images for one in (left, right)},
            mentions=self.mentions,
            elsewhere=self._loaded(),
            code_services=_code((left, right)),
            on_host=self.runs_on_host((left, right)),
        )
        return tuple(sorted(found, key=compare.order))

    def runs_on_host(self, environments: Iterable[Known]) -> bool:
        """Whether any of *environments* runs its tests outside of containers."""
        known = self.ground.settings.environments
        return any(known[one.facts.name].runner == "host" for one in environments)

    def _loaded(self) -> frozenset[str]:
        """The variables of env files that the code loads itself."""
        read = EnvFiles()
        files = (read(self.ground.settings.root / name) for name in self.reads.env_files)
        return frozenset(entry.key for file in files if file for entry in file.entries)


def _code(environments: Sequence[Known]) -> Mapping[str, tuple[str, ...]]:
    """The services that run the project's Python in each of *environments* that has them."""
    known = frozenset.intersection(*(one.code for one in environments))
    return dict.fromkeys(sorted(known), (".",))


def compared(ground: Ground, pairs: Sequence[Pair], *, is_whole: bool = False) -> ParityReport:
    """Compare each of *pairs*, and judge what differs by the project's policy.

    *is_whole*: these are all pairs of the project, so that a rule which nobody
    needed is a finding. Raises what `known` raises.
    """
    rules, today = ground.settings.parity.allow, ground.today
    names = [name for pair in pairs for name in pair]
    demanded = policy.demanded(rules) if is_whole else ()
    scene = _Scene.of(ground, tuple(dict.fromkeys([*names, *demanded])))
    judged = scene.judged(pairs)
    paths = tuple(dict.fromkeys(path for one in scene.by_name.values() for path in one.paths))
    return ParityReport(
        pairs=tuple(_pair(one, scene.by_name) for one in judged),
        hazards=_hazards(scene, paths),
        findings=_findings(scene, paths),
        policy_findings=(
            *policy.expired(rules, today),
            *policy.broken(rules, scene.facts, today),
            *(_unused(ground, judged) if is_whole and not ground.files_only else ()),
        ),
        notes=scene.reads.notes,
    )


def _unused(ground: Ground, judged: Sequence[policy.Judged]) -> tuple[Remark, ...]:
    # Another machine has other receipts, or none.
    rules = [r for r in ground.settings.parity.allow if "pg_settings" not in r.key]
    return policy.unused(judged, rules, ground.today)


def _pair(judged: policy.Judged, by_name: Mapping[str, Known]) -> PairReport:
    left, right = (by_name[name] for name in judged.pair)
    names = {s.name for one in (left, right) for s in one.facts.services or ()}
    return PairReport(
        left=left.facts.name,
        right=right.facts.name,
        open=judged.open,
        allowed=tuple(
            AllowedDifference(a.difference, a.rule.reason, a.rule.key) for a in judged.allowed
        ),
        identity=judged.identity,
        services=tuple(sorted(names)),
        left_home=left.home,
        right_home=right.home,
        unknown=tuple(_unknown(left.facts, right.facts)),
        notes=tuple(
            note
            for one, other in ((left, right), (right, left))
            for note in (
                *(f"{one.facts.name}: {text}" for text in one.facts.notes),
                *_not_compared(one, other),
            )
        ),
    )


def _unknown(left: EnvironmentFacts, right: EnvironmentFacts) -> Iterator[str]:
    """Why nobody can say that the two are alike."""
    for one, other in ((left, right), (right, left)):
        if one.services is not None and other.services is None:
            yield f"{other.name} has no compose file, so the containers were not compared"
    is_empty = not left.files and not right.files and (not left.services or not right.services)
    if is_empty:
        yield "there is no variable and no service that both could have"


def _not_compared(one: Known, other: Known) -> Iterator[str]:
    if one.facts.files is not None and other.facts.files is None:
        yield f"{other.facts.name} has no env file: the env files were not compared"


def _hazards(scene: _Scene, paths: Sequence[Path]) -> tuple[Remark, ...]:
    ground, root = scene.ground, scene.ground.settings.root
    texts = [
        EnvText(path, sources.shown(path, root), envfile.content(path), docker_run=True)
        for path in paths
    ]
    try:
        found = hazards(texts, ground.docker.resolved_model)
    except Interrupted:
        raise
    except UnstaleError:
        if not ground.files_only:
            raise
        return ()  # files are compared without docker, too
    told = [
        *(_hazard(one) for one in found),
        *(remark for one in scene.by_name.values() for remark in one.remarks),
    ]
    return tuple(dict.fromkeys(told))


def _hazard(one: Hazard) -> Remark:
    kind = "docker-run" if "docker run --env-file" in one.readers else "dialect"
    return Remark(kind, one.key, one.file, one.line, one.kind)


def _findings(scene: _Scene, paths: Sequence[Path]) -> tuple[Remark, ...]:
    remarks = [*_of_examples(scene.ground, paths), *_duplicates(scene.ground, paths)]
    if scene.ground.files_only:
        return tuple(remarks)
    everywhere = tuple(scene.by_name.values())
    told = effects.inert(
        scene.facts,
        scene.reads,
        documented=_documented(paths),
        code_services=_code(everywhere),
        mentions=scene.mentions,
        on_host=scene.runs_on_host(everywhere),
    )
    return (*remarks, *(Remark(f.kind, f.name, f.file, f.line, f.suggestion) for f in told))


def _documented(paths: Iterable[Path]) -> frozenset[str]:
    """The keys of the examples, those that are commented out included."""
    read = EnvFiles()
    examples = {example for path in paths if (example := envfile.example_of(path))}
    files = [file for example in sorted(examples) if (file := read(example))]
    return frozenset(k for f in files for k in (*f.commented, *(e.key for e in f.entries)))


def _of_examples(ground: Ground, paths: Iterable[Path]) -> Iterator[Remark]:
    """Keys that an env file and the example that documents it do not share."""
    root = ground.settings.root
    for path in paths:
        for gap in envfile.example_gaps([path]):
            name, example = sources.shown(path, root), sources.shown(gap.example, root)
            for key in gap.missing:
                yield Remark("missing-of-example", key, name, None, f"{example} has it")
            for key in gap.undocumented:
                yield Remark("undocumented", key, name, None, f"{example} has it not")


def _duplicates(ground: Ground, paths: Iterable[Path]) -> Iterator[Remark]:
    read = EnvFiles()
    for path in paths:
        file = read(path)
        for one in file.duplicates if file else ():
            lines = ", ".join(map(str, one.lines))
            name = sources.shown(path, ground.settings.root)
            text = f"assigned on lines {lines}; the last one counts"
            yield Remark("duplicate", one.key, name, one.lines[-1], text)


def pairs_of(settings: Settings, name: str) -> tuple[Pair, ...]:
    """The pairs of the project that the environment *name* is in.

    Raises:
        UsageError: there is none.

    """
    found = tuple(pair for pair in settings.pairs if name in pair)
    if not found:
        raise UsageError(
            f"There is no environment to compare {name!r} with.",
            cause=f"Known: {', '.join(sorted(settings.environments)) or 'none'}.",
            hint="add a compose file or an env file for another one, as docs/parity.md says",
        )
    return found


def matrix(ground: Ground, names: Sequence[str]) -> Matrix:
    """All of the environments called in *names*, one row a key.

    Raises what `known` raises, and:

    Raises:
        UsageError: they are not two.

    """
    if len(set(names)) < 2:
        raise UsageError(
            "A matrix needs two environments.",
            cause=f"Known: {', '.join(sorted(ground.settings.environments)) or 'none'}.",
            hint="inv env.matrix --envs dev,test,ci",
        )
    scene = _Scene.of(ground, names)
    judged = scene.judged(combinations(names, 2))
    marks = marks_of([_pair(one, scene.by_name) for one in judged])
    return as_matrix(scene.facts, compare.secrecy(scene.facts, scene.secret), marks)


def require(report: ParityReport) -> None:
    """Raise unless everything that differs has its reason written down.

    Raises:
        Mismatch: it has not, or the policy is not what it should be.
        CouldNotTell: something could not be compared.

    """
    told = [
        f"{one.path} ({pair.left} and {pair.right})" for pair in report.pairs for one in pair.open
    ]
    told += [f"{one.key}: {one.text}" for one in report.policy_findings]
    unknown = [why for pair in report.pairs for why in pair.unknown]
    if not told and not unknown:
        return
    words = list(dict.fromkeys(told or unknown))
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    listed = f"{', '.join(words[:_MOST])}{more}."
    if not told:
        raise CouldNotTell("The environments could not be compared.", cause=listed, hint=_NEXT)
    raise Mismatch(
        "The environments are not what the policy says.",
        cause=f"Nobody explained {listed}",
        hint=_NEXT,
    )


_NEXT = "inv env.check"


def describe(report: ParityReport, name: str, *, gates: bool) -> str:
    """What a run in the environment called *name* says of *report*, in a line."""
    between = "; ".join(
        f"beside {pair.right if pair.left == name else pair.left}: "
        + ", ".join(part for part in _counts(pair) if part)
        for pair in report.pairs
        if name in (pair.left, pair.right)
    )
    return between if gates else f"{between}; not judged, there is no policy (inv env.check)"


def _counts(pair: PairReport) -> Iterator[str]:
    paths = {one.path for one in pair.open}
    allowed = {one.difference.path for one in pair.allowed}
    yield f"{len(paths)} not explained" if paths else ""
    yield f"{len(allowed)} allowed" if allowed else ""
    yield "not compared" if pair.unknown else ""
    yield "" if paths or allowed or pair.unknown else "no difference"


def summary(report: ParityReport) -> list[dict[str, object]]:
    """What a receipt says of *report*: names, and no value."""
    return [
        {
            "left": pair.left,
            "right": pair.right,
            "parity": pair.parity,
            "open": sorted({one.path for one in pair.open}),
            "allowed": sorted({one.difference.path for one in pair.allowed}),
            "unknown": list(pair.unknown),
        }
        for pair in report.pairs
    ]


def open_differences(report: ParityReport) -> Mapping[Pair, Sequence[Difference]]:
    """What nobody explained, by pair: what a baseline is made of."""
    return {(pair.left, pair.right): pair.open for pair in report.pairs}
