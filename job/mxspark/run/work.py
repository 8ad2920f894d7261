"""What a run has to do: a plan, new or an earlier run's, and which of its shards."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mxspark.dataset import output, plan
from mxspark.dataset.plan import KeySpool, Plan, Sizes
from mxspark.errors import UsageError
from mxspark.run.identity import comparable
from mxspark.run.precision import Optimized
from mxspark.run.progress import RunListener
from mxspark.run.table import Table
from mxspark.settings.job import Settings, visible
from mxspark.storage import Store
from mxspark.text.words import counted


@dataclass(frozen=True)
class Work:
    """A plan's table, the shards to do, and how many images those are."""

    table: Table
    shards: list[int]
    images: int

    @property
    def plan(self) -> Plan:
        return self.table.plan

    @property
    def kept_images(self) -> int:
        """Those of the plan that an earlier run has done."""
        return self.plan.keys - self.images

    @classmethod
    def from_beginning(cls, table: Table) -> Self:
        return cls(table, list(range(table.plan.shards)), table.plan.keys)

    @classmethod
    def left(cls, table: Table) -> Self:
        """What an earlier run left; with `retry_failed` what failed as well."""
        shards, size = table.missing(), table.plan.size
        images = sum(map(size, shards))
        if table.settings.output.retry_failed:
            finished = set(range(table.plan.shards)) - set(shards)
            failed = {shard: counts.failed for shard, counts in table.counts(finished) if counts.failed}
            shards, images = sorted([*shards, *failed]), images + sum(failed.values())
        return cls(table, shards, images)

    def note(self, progress: RunListener) -> None:
        """Reports what is resumed."""
        what = "are left or failed" if self.table.settings.output.retry_failed else "are left"
        progress.note(
            f"Resuming the run of {self.plan.created}: {self.kept_images:,} of {counted(self.plan.keys, 'image')} "
            f"done, {self.images:,} {what} in {len(self.shards):,} of {counted(self.plan.shards, 'shard')}. New images "
            "are not included; --overwrite restarts."
        )


def earlier_plan(store: Store, settings: Settings, identity: Mapping[str, Any], probes: bool = True) -> Plan | None:
    """The plan of the run that this one resumes, None where it starts from the beginning; `probes` as in
    `output.check`.

    Raises UsageError where the output can't be used, or has the results of another job.
    """
    existing = output.check(store, settings.output, probes)
    if existing is None:
        return None
    if changes := plan.differences(comparable(existing.identity), identity):
        raise UsageError(
            f"{store.name} holds the results of another job. Differences (existing -> requested):\n  "
            + "\n  ".join(changes),
            "Choose another output, or restart with --overwrite.",
        )
    return existing


def shard_size(keys: int, workers: int, settings: Settings) -> int:
    """How many images a new plan's shards have."""
    return settings.plan.shard_size or plan.choose_shard_size(keys, workers, settings.batch_size)


def shard_sizes(keys: int, workers: int, settings: Settings) -> Sizes:
    """Of a new plan's shards, one after another."""
    size = shard_size(keys, workers, settings)
    return plan.even(keys, size) if settings.plan.shard_size else plan.tapered(keys, size, workers, settings.batch_size)


def new_plan(
    store: Store,
    spool: KeySpool,
    workers: int,
    settings: Settings,
    identity: Mapping[str, Any],
    skipped: Mapping[str, int],
    optimized: Optimized | None = None,
) -> Plan:
    """The listed keys as a plan for so many workers, in place of what the output had, and the model that was made for
    it.
    """
    keys = len(spool)
    size, sizes = shard_size(keys, workers, settings), shard_sizes(keys, workers, settings)
    output.clear(store)
    if optimized is not None:
        optimized.keep(store)
        identity = {**identity, "optimized": optimized.digest}
    shown = visible(settings.model_dump(mode="json"))
    shown["input"] |= {name: identity["input"][name] for name in ("path", "base")}  # wherever they were typed
    return plan.write(store, spool, size, identity, shown, skipped, sizes)


def confirm_overwriting(store: Store, settings: Settings, progress: RunListener) -> None:
    """Asks before --overwrite deletes what an earlier run left. Raises UsageError where the answer is no."""
    if not settings.output.overwrite:
        return
    there = output.describe(store, settings.output.format)
    if there is not None and not progress.confirm(f"--overwrite deletes what is in {store.name}: {there}. Continue?"):
        raise UsageError("nothing was deleted, nothing was run", "")
