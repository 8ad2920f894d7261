"""What goes wrong when: drawn from a seed, the same for the same seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.faults.faults import BadNetwork, Fault, KillDriver, KillExecutor, KillWorker, Outage, Refuse, RestartS3
from tests.faults.s3_faults import EXPIRED_TOKEN, INTERNAL_ERROR, SLOW_DOWN
from tests.faults.toxiproxy import Toxic

# Rounds from one killed driver to the next, at least and at most: its next start takes as long as several other rounds.
LIVES = 6, 10
STREAMS = ("downstream", "upstream")


@dataclass(frozen=True)
class Round:
    """A fault that strikes on `master`, `delay` seconds after `progress` of the job's parts are written, and lasts
    for `seconds`.
    """

    number: int
    master: str
    progress: float
    delay: float
    fault: Fault
    seconds: float

    def __str__(self) -> str:
        return f"{self.fault}" + (f" for {self.seconds} s" if self.seconds else "")


@dataclass(frozen=True)
class _Kind:
    """A kind of fault: how it is drawn, how many of it are in the bag, and the masters under which it can strike."""

    draw: Callable[[Random], Fault]
    count: int = 1
    masters: tuple[str, ...] = ("local", "cluster")


def _toxic(random: Random, kind: str, stream: str = "downstream", **attributes: int) -> Fault:
    return BadNetwork(Toxic(kind, attributes, stream, random.choice([0.3, 0.7, 1.0])))


KINDS: dict[str, _Kind] = {
    "worker": _Kind(lambda random: KillWorker(round(random.random(), 3)), 2),
    "executor": _Kind(lambda random: KillExecutor(round(random.random(), 3)), 2, ("cluster",)),
    "s3": _Kind(lambda random: RestartS3(random.choice(["KILL", "TERM"]))),
    "outage": _Kind(lambda _: Outage()),
    "latency": _Kind(lambda random: _toxic(random, "latency", latency=random.randint(200, 1500), jitter=200)),
    "reset_peer": _Kind(
        lambda random: _toxic(random, "reset_peer", random.choice(STREAMS), timeout=random.choice([0, 20, 100]))
    ),
    # Of an image (about 0.6 kB with its head) as of a part (some kB) that leaves a piece.
    "limit_data": _Kind(
        lambda random: _toxic(random, "limit_data", random.choice(STREAMS), bytes=random.randint(50, 3000))
    ),
    "hang": _Kind(lambda random: _toxic(random, "timeout", random.choice(STREAMS), timeout=0)),
    "bandwidth": _Kind(lambda random: _toxic(random, "bandwidth", random.choice(STREAMS), rate=random.randint(1, 10))),
    "slow_down": _Kind(lambda random: Refuse(SLOW_DOWN, random.choice([0.3, 1.0]))),
    "internal_error": _Kind(lambda random: Refuse(INTERNAL_ERROR, random.choice([0.3, 1.0]))),
    "expired_token": _Kind(lambda random: Refuse(EXPIRED_TOKEN, random.choice([0.3, 1.0]))),
}
DRIVER = "driver"
ALL_KINDS = (*KINDS, DRIVER)


def draw(seed: int, rounds: int, kinds: Sequence[str] = ALL_KINDS, lives: tuple[int, int] = LIVES) -> list[Round]:
    """So many rounds of these kinds of faults. The driver's lives alternate between a cluster and one machine."""
    shortest, longest = lives
    random = Random(seed)
    bag: list[str] = []
    drawn: list[Round] = []
    master, left = "cluster", 0  # the first life ends while it starts, perhaps within its planning
    for number in range(1, rounds + 1):
        starting = not drawn or (isinstance(drawn[-1].fault, KillDriver) and random.random() < 0.5)
        progress = (number - 0.5) / rounds if not starting else drawn[-1].progress if drawn else 0.0
        delay = round(random.uniform(1, 6), 1) if starting else 0.0
        if left == 0 and DRIVER in kinds and number <= rounds - shortest / 2:
            fault: Fault = KillDriver("local" if master == "cluster" else "cluster")
        else:
            fault = KINDS[_take(random, bag, kinds, master)].draw(random)
        seconds = (
            0.0 if isinstance(fault, (KillDriver, KillExecutor, KillWorker)) else round(random.uniform(0.3, 2.0), 1)
        )
        drawn.append(Round(number, master, round(progress, 4), delay, fault, seconds))
        left = max(0, left - 1)
        if isinstance(fault, KillDriver):
            master, left = fault.next_master, random.randint(shortest, longest) - 1
    return drawn


def _take(random: Random, bag: list[str], kinds: Sequence[str], master: str) -> str:
    """The next kind out of the bag that can strike under this master: out of a bag, so that no kind stays away for
    long.
    """
    while not (possible := [name for name in bag if master in KINDS[name].masters]):
        fresh = [name for name in KINDS if name in kinds for _ in range(KINDS[name].count)]
        assert any(master in KINDS[name].masters for name in fresh), (
            f"no fault of {', '.join(kinds)} can strike on {master}"
        )
        random.shuffle(fresh)
        bag += fresh
    bag.remove(possible[0])
    return possible[0]
