"""What runs out: disk and addresses. Warned of before, explained after. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING

from unstale import override
from unstale.errors import Fault, Unavailable, UnstaleError

if TYPE_CHECKING:
    from unstale.facts import DiskSpace, EngineRoom

__all__ = ["LITTLE_BYTES", "Leaks", "explain", "free_subnets", "full", "leaks", "size", "warnings"]

_MIB, _GIB = 1 << 20, 1 << 30
# A base image with its packages; a build needs it twice.
LITTLE_BYTES = _GIB
_NONE_BYTES = 4 * _MIB
_FEW_NETWORKS = 3

# The engine's own, if nobody configures any (moby, ipamutils): 172.17/16 to 172.31/16,
# and 192.168/16 in parts of 4096 addresses.
_DEFAULT_POOLS = (
    *((f"172.{second}.0.0/16", 16) for second in range(17, 32)),
    ("192.168.0.0/16", 20),
)


@dataclass(frozen=True, slots=True)
class Leaks:
    """The networks of an engine, by whom they belong to."""

    dead: int = 0
    """Of runs of this machine and user that died."""
    alive: int = 0
    """Of those that go on, are kept or stand, and of other machines and users."""
    foreign: int = 0
    """Of others than unstale."""

    @property
    def words(self) -> str:
        """In a sentence."""
        total = self.dead + self.alive + self.foreign
        return (
            f"There are {total} networks: {self.dead} that dead unstale runs left, "
            f"{self.alive} of unstale runs that go on or stand, {self.foreign} of others."
        )


def leaks(
    networks: Mapping[str, Mapping[str, str]], owner: str, lives: Callable[[str], bool]
) -> Leaks:
    """Count *networks*, which are names with their labels; *lives* judges runs of *owner*."""
    found = {"dead": 0, "alive": 0, "foreign": 0}
    for name, labels in networks.items():
        if name in ("bridge", "host", "none"):
            continue
        run = labels.get(override.LABEL_RUN)
        if run is None:
            found["foreign"] += 1
        elif labels.get(override.LABEL_OWNER) == owner and not lives(run):
            found["dead"] += 1
        else:
            found["alive"] += 1
    return Leaks(**found)


def free_subnets(room: EngineRoom) -> int:
    """For how many more networks the engine has addresses, as far as can be seen."""
    used = sorted(net for text in room.subnets if (net := _network(text)) is not None)
    return sum(_free(base, size, used) for base, size in room.pools or _DEFAULT_POOLS)


def _free(base: str, size: int, used: Iterable[IPv4Network]) -> int:
    """How many networks of the prefix length *size* are left of a pool; *used* is sorted.

    Of the numbers of networks, not one by one: a pool may have millions.
    """
    pool = _network(base)
    if pool is None or not pool.prefixlen <= size <= 32:
        return 0
    at, end = _numbers(pool, size)
    free = 0
    for net in used:
        begin, after = _numbers(net, size)
        free += max(min(begin, end) - at, 0)
        at = max(at, after)
    return free + max(end - at, 0)


def _numbers(net: IPv4Network, size: int) -> tuple[int, int]:
    """The first network of this *size* that *net* touches, and the one after the last."""
    bits = 32 - size
    return int(net.network_address) >> bits, (int(net.broadcast_address) >> bits) + 1


def _network(text: str) -> IPv4Network | None:
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Network) else None


def warnings(room: EngineRoom | None, spaces: Sequence[DiskSpace]) -> tuple[str, ...]:
    """What may not be enough for a run, in words."""
    scarce = [f"Only {_space(s)} is left." for s in spaces if s.free_bytes < LITTLE_BYTES]
    if room is not None and (left := free_subnets(room)) <= _FEW_NETWORKS:
        scarce.append(
            f"The engine has addresses for {left} more networks: inv stack.reap removes "
            "those of dead runs, docker network prune all that nobody uses."
        )
    return tuple(scarce)


def _space(space: DiskSpace) -> str:
    return f"{size(space.free_bytes)} of {size(space.total_bytes)} on {space.what}"


def size(count: int) -> str:
    """*count* bytes, for people."""
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"


def full(spaces: Sequence[DiskSpace]) -> bool:
    """Whether nothing can be written on one of *spaces*."""
    return any(space.free_bytes < _NONE_BYTES for space in spaces)


def explain(
    error: UnstaleError, spaces: Sequence[DiskSpace], networks: Leaks | None
) -> UnstaleError:
    """*error* with what is left, where something ran out; *networks*: addresses did.

    Tests that fail on a disk that is full have no result: that is a failure of
    what they run on.
    """
    if error.fault is not Fault.RESOURCES:
        error = Unavailable(
            "There is no space left on the disk.", cause=str(error), fault=Fault.RESOURCES
        )
        error.hint = _ROOM
    more = "Left: " + "; ".join(map(_space, spaces)) + "." if spaces else ""
    if networks is not None:
        more = networks.words
        error.hint = "inv stack.reap" if networks.dead else _ADDRESSES
    error.cause = "\n".join(filter(None, (error.cause, more)))
    return error


_ROOM = "inv image.clean; docker system df tells what takes the space"
_ADDRESSES = (
    "docker network ls; docker network prune removes those that nobody uses, and "
    "default-address-pools in the engine's daemon.json makes more"
)
