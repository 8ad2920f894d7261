"""How far a run is, from what lies in its output: no process of the run is needed."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mxspark.dataset import plan, predictions
from mxspark.dataset.output import LOCK, SUCCESS
from mxspark.dataset.plan import Plan
from mxspark.dataset.predictions import PARTS, Counts
from mxspark.errors import MxsparkError, UsageError
from mxspark.run import summary
from mxspark.storage import Access, Store, open_output, usage_errors


@dataclass(frozen=True)
class Status:
    """A run: its plan, None while it is starting, what its parts hold by now, who works on it, and whether it ended
    well.
    """

    place: str
    plan: Plan | None
    parts: int
    counts: Counts
    holder: Mapping[str, Any] | None  # of the lock; on s3:// it may be dead since a short while
    succeeded: bool
    broken: tuple[str, ...] = ()  # what is wrong with parts that can't be counted

    @property
    def state(self) -> str:
        """In one word or two."""
        if self.plan is None:
            return "starting"
        if self.broken:
            return "damaged"
        if self.succeeded and self.parts >= self.plan.shards:  # some may be lost since, as by half a copy
            return "complete"
        if self.holder is not None:
            return "running"
        return "not finished" if self.parts < self.plan.shards else "ended without success"

    @property
    def left(self) -> int:
        """Images that have no row yet, of those that are planned."""
        return self.plan.keys - self.counts.rows if self.plan else 0

    def to_json(self) -> str:
        running = dict(self.holder) if self.holder is not None else None
        content = {
            "output": self.place,
            "state": self.state,
            **(self._planned(self.plan) if self.plan else {}),
            "running": running,
        }
        return json.dumps(content, indent=1)

    def _planned(self, frozen: Plan) -> dict[str, Any]:
        counts = self.counts
        return {
            "images": {"planned": frozen.keys, "ok": counts.ok, "failed": counts.failed, "left": self.left},
            "by_status": dict(sorted(counts.by_status.items())),
            "skipped": dict(frozen.skipped),
            "shards": {"planned": frozen.shards, "done": self.parts, "left": frozen.shards - self.parts},
            "broken": list(self.broken),
            "plan": {
                "id": frozen.id,
                "created": frozen.created,
                "listed": frozen.listed,
                "shard_size": frozen.shard_size,
            },
            "settings": frozen.settings,
        }


def read(location: str, access: Access) -> Status:
    """The run that writes, or wrote, to `location`. Raises UsageError where there is none."""
    store = open_output(location, access)
    with usage_errors("OUTPUT", "Check the place."):
        frozen = plan.load(store)
        holder = store.holder(LOCK)
        if holder is not None and (frozen is None or _will_delete(holder, frozen)):
            return Status(store.name, None, 0, Counts(), holder, succeeded=False)
        if frozen is None:
            raise UsageError(f"{location}: no run has a plan here", "Name the output of a run.")
        return _read(store, frozen, holder)


def _will_delete(holder: Mapping[str, Any], frozen: Plan) -> bool:
    """Whether the run that is starting overwrites this plan, which is another's."""
    submission = frozen.settings.get("output", {}).get("submission")
    goes_on = submission is not None and submission == holder.get("submission")
    return bool(holder.get("overwrite")) and frozen.created < str(holder.get("since", "")) and not goes_on


def _read(store: Store, frozen: Plan, holder: Mapping[str, Any] | None) -> Status:
    try:
        output_format = frozen.settings["output"]["format"]
        _ = PARTS[output_format]
    except (KeyError, TypeError):
        raise plan.damaged(store) from None
    done = predictions.planned_shards(store, output_format, frozen.shards)
    broken: list[str] = []

    def counted(shard: int) -> Counts:
        try:
            # Without the plan's true_label: others may have written one that never ends, and accuracy isn't shown here.
            return summary.count_part(store, frozen, shard, output_format, None)
        except MxsparkError as error:
            broken.append(error.problem)
            return Counts()

    with ThreadPoolExecutor(summary.READERS) as pool:
        counts = sum(pool.map(counted, done), Counts())
    return Status(store.name, frozen, len(done), counts, holder, store.has(SUCCESS), tuple(broken))
