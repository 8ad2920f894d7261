"""The chaos run: one job, and kill after kill, fault after fault; in the end its table is that of a run that nothing
disturbed.

Run:  .venv/bin/python -m tests.faults.chaos --rounds 100 --seed 7      (make chaos ROUNDS=100 SEED=7)

The seed fixes the schedule: what strikes at which part of the job's progress and for how long. What the machine makes
of it differs from time to time, so a failure may take several tries to show again.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyspark
from botocore.exceptions import BotoCoreError, ClientError
from examples.s3 import Server
from tests.command import Command, environment_without_aws
from tests.conftest import BUCKET, DIGITS, put
from tests.faults import s3_faults, s3_restarts, schedule, toxiproxy
from tests.faults.check import Row, keys_below, problems_of_output, problems_of_table, read_table
from tests.faults.faults import KillDriver, World
from tests.faults.schedule import Round
from tests.faults.toxiproxy import Toxic
from tests.faults.user import Log, StubbornUser, Typed

SHARD_SIZE = 25
KEYS_A_ROUND = 3 * SHARD_SIZE  # so that the job goes on between two rounds
UNDISTURBED_SECONDS = 600  # limit on the run that nothing disturbs
STALL_SECONDS = 180  # without a new part: something hangs
MOST_UNPLANNED_STARTS = 10  # of the driver, where faults make it end
# A network on which the job takes long enough to be disturbed.
SLOW_NETWORK = Toxic("latency", {"latency": 40, "jitter": 10})
DISTURBED, UNDISTURBED = "tables/disturbed/", "tables/undisturbed/"
# Limits that fit faults of a second or two; they change no row.
PATIENCE = ("storage.connect_timeout=2", "storage.read_timeout=3", "storage.retries=20")


@dataclass(frozen=True)
class Stage:
    """Where the chaos takes place: servers that run, images in a bucket, and the table that they should come to."""

    s3: s3_restarts.RestartableS3
    front: s3_faults.FaultyFront
    proxy: toxiproxy.Proxy
    typed: Typed
    expected: Sequence[Row]
    parts: int


@contextmanager
def prepared(command: Command, folder: Path, keys: int, log: Log) -> Iterator[Stage]:
    """Servers with so many images, and the table of an undisturbed run."""
    with ExitStack() as stack:
        for name in ("s3", "spark"):
            (folder / name).mkdir()
        s3 = stack.enter_context(s3_restarts.serve(folder / "s3", BUCKET))
        put(s3.server, _objects(keys))
        log(f"uploaded {keys} images")
        variables = {**s3.server.environment, **_spark_of_its_own(folder / "spark")}
        with command.start(
            "mxspark", *_arguments(UNDISTURBED), "--master", "local[1]", environment=variables
        ) as running:
            undisturbed = running.wait(UNDISTURBED_SECONDS).succeeded()
        expected = read_table(s3.server, f"{BUCKET}/{UNDISTURBED}")
        log(f"undisturbed run: {len(expected)} rows in {undisturbed.seconds:.1f} s")
        assert len(expected) == keys
        assert {row["status"] for row in expected} == {"ok"}
        front = stack.enter_context(s3_faults.before(s3.server.endpoint_url))
        proxy = stack.enter_context(stack.enter_context(toxiproxy.serve()).proxy(front.url, SLOW_NETWORK))
        typed = Typed(command, _arguments(DISTURBED), {**variables, "AWS_ENDPOINT_URL": proxy.url})
        yield Stage(s3, front, proxy, typed, expected, -(-keys // SHARD_SIZE))


def _objects(keys: int) -> dict[str, bytes]:
    """The digits under as many prefixes as it takes, and their network."""
    images = sorted((DIGITS / "images").glob("*.png"))
    objects = {f"images/{index // len(images)}/{images[index % len(images)].name}": b"" for index in range(keys)}
    objects = {key: (DIGITS / "images" / key.rsplit("/", 1)[-1]).read_bytes() for key in objects}
    return objects | {f"model/{path.name}": path.read_bytes() for path in (DIGITS / "bundle").iterdir()}


def _arguments(output: str) -> tuple[str, ...]:
    places = (
        "--input",
        f"s3://{BUCKET}/images/",
        "--model",
        f"s3://{BUCKET}/model",
        "--output",
        f"s3://{BUCKET}/{output}",
    )
    settings = (*PATIENCE, f"plan.shard_size={SHARD_SIZE}", "pipeline.fetch_threads=2")
    return ("run", *places, *(word for setting in settings for word in ("--set", setting)))


def _spark_of_its_own(folder: Path) -> Mapping[str, str]:
    """Variables for a Spark that keeps what local-cluster writes (its folder `work`) out of the virtual environment."""
    for path in Path(pyspark.__file__).parent.iterdir():
        if path.name != "work":
            (folder / path.name).symlink_to(path)
    return {"SPARK_HOME": str(folder), "SPARK_LOCAL_IP": "127.0.0.1"}


def disturb(stage: Stage, rounds: Sequence[Round], log: Log) -> list[str]:
    """Runs the job through all rounds to its end; returns what is wrong with what it left, a line each."""
    server = stage.s3.server
    with StubbornUser(stage.typed, log, most_lives=_lives(rounds) + MOST_UNPLANNED_STARTS) as user:
        world = World(user, stage.proxy, stage.front, stage.s3)
        progress = _Progress(server, user)
        user.master = rounds[0].master
        user.start()
        for each in rounds:
            progress.wait_for(int(each.progress * stage.parts))
            _go_on(user, each.delay)
            assert not user.done, f"the job was done before round {each.number}"
            log(f"round {each.number}/{len(rounds)} at {progress.parts}/{stage.parts} parts: {each}")
            _suffer(each, world)
        log("all faults have struck")
        progress.wait_for_end()
        log(f"done after {user.lives} starts; refused by the front: {dict(stage.front.refused)}")
        left = [f"a process is left: {process}" for process in user.left()]
    names = keys_below(server.client(), BUCKET, DISTURBED)
    return (
        left
        + problems_of_output(names, stage.parts)
        + problems_of_table(read_table(server, f"{BUCKET}/{DISTURBED}"), stage.expected)
    )


def _lives(rounds: Sequence[Round]) -> int:
    return 1 + sum(isinstance(each.fault, KillDriver) for each in rounds)


def _suffer(each: Round, world: World) -> None:
    each.fault.strike(world)
    try:
        _go_on(world.user, each.seconds)
    finally:
        each.fault.lift(world)


def _go_on(user: StubbornUser, seconds: float) -> None:
    """Lets so much time pass; the user tends the job."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        user.tend()
        time.sleep(0.05)


class _Progress:
    """Waits while the user tends the job; fails when it comes to a standstill."""

    def __init__(self, server: Server, user: StubbornUser) -> None:
        self.parts = 0
        self._client = server.client()  # one for all looks: to make it takes longer than to look
        self._user = user
        self._last = time.monotonic()

    def wait_for(self, parts: int) -> None:
        """Returns when there are so many parts, or the job is done."""
        self._wait(lambda: self.parts >= parts)

    def wait_for_end(self) -> None:
        self._wait(lambda: False)

    def _wait(self, reached: Callable[[], bool]) -> None:
        self._last = time.monotonic()
        self._look()
        while not (reached() or self._user.done):
            self._user.tend()
            assert time.monotonic() - self._last < STALL_SECONDS, (
                f"no new part for {STALL_SECONDS} s; there are {self.parts}"
            )
            time.sleep(0.1)
            self._look()

    def _look(self) -> None:
        try:
            parts = len(keys_below(self._client, BUCKET, f"{DISTURBED}part-"))
        except (BotoCoreError, ClientError):
            return
        if parts > self.parts:
            self.parts, self._last = parts, time.monotonic()


def run(command: Command, folder: Path, rounds: Sequence[Round]) -> list[str]:
    """The whole chaos run in an empty folder, told on standard output; returns what is wrong in the end, a line
    each.
    """
    started = time.monotonic()

    def log(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {time.monotonic() - started:6.1f} s  {text}", flush=True)

    with prepared(command, folder, len(rounds) * KEYS_A_ROUND, log) as stage:
        problems = disturb(stage, rounds, log)
        log("\n".join(problems) or "the table is that of the undisturbed run, row for row")
        return problems


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.chaos", description="Disturbs one job; its table must not show it."
    )
    parser.add_argument("--rounds", type=int, default=30, help="kills and faults [30]")
    parser.add_argument("--seed", type=int, help="of the schedule [random]")
    parser.add_argument(
        "--kinds", default=",".join(schedule.ALL_KINDS), help="of faults, with commas between [%(default)s]"
    )
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    print(f"chaos: --rounds {given.rounds} --seed {seed} --kinds {given.kinds}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        command = Command(environment_without_aws(folder / "home"))
        return 1 if run(command, folder, schedule.draw(seed, given.rounds, given.kinds.split(","))) else 0


if __name__ == "__main__":
    sys.exit(main())
