"""A run's output as the reports read it: plan, parts, summary, figures and records of its runs."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

from mxspark.dataset import plan, predictions
from mxspark.dataset.output import LOCK, SUCCESS, SUMMARY
from mxspark.dataset.plan import Plan
from mxspark.dataset.predictions import PARTS
from mxspark.errors import MxsparkError, UsageError
from mxspark.run import precision, shard_log
from mxspark.run.shard_log import PastRun
from mxspark.storage import Access, MissingError, Store, open_output, usage_errors

MAX_SUMMARY_BYTES = 4 * 2**20


@dataclass(frozen=True)
class FinishedRun:
    """A run's output, finished or not."""

    store: Store
    plan: Plan
    format: str

    @classmethod
    def open(cls, output: str, access: Access) -> "FinishedRun":
        """Raises UsageError where no run has written there."""
        if not output.strip():
            raise UsageError("OUTPUT is empty", "Give the folder that a run writes to, or s3://bucket/prefix.")
        store = open_output(output, access)
        with usage_errors("OUTPUT", "Give the folder that a run writes to, or s3://bucket/prefix."):
            frozen = plan.load(store)
        if frozen is None:
            raise UsageError(f"{store.name}: no run has a plan here", "Give the folder that a run writes to.")
        found = cls(store, frozen, "")
        output_format = found.setting("output", "format")
        if output_format not in PARTS:
            raise plan.damaged(store)
        return cls(store, frozen, str(output_format))

    def setting(self, *path: str) -> Any:
        """As the plan has it, None where it hasn't: others may have written it."""
        try:
            return reduce(lambda section, key: section[key], path, self.plan.settings)
        except (KeyError, TypeError):
            return None

    @property
    def true_label(self) -> str | None:
        """The regular expression that finds the true label in a key."""
        pattern = self.summary_setting("input", "true_label")
        return pattern if isinstance(pattern, str) and pattern else None

    def summary_setting(self, *path: str) -> Any:
        """Of the last run that ended, for some may differ between runs of a plan; else the plan's."""
        try:
            return reduce(lambda section, key: section[key], path, self.summary["settings"])
        except (KeyError, TypeError):
            return self.setting(*path)

    @cached_property
    def shards(self) -> list[int]:
        """Those of the plan that have their part."""
        return predictions.planned_shards(self.store, self.format, self.plan.shards)

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """What the last run that ended wrote of itself; empty where none did, or it is another plan's."""
        with suppress(MissingError, ValueError, KeyError, TypeError, RecursionError):
            data = json.loads(self.store.read(SUMMARY, MAX_SUMMARY_BYTES))
            if plan.is_flat(data) and data["plan"]["id"] == self.plan.id:
                return dict(data)
        return {}

    @cached_property
    def runs(self) -> tuple[PastRun, ...]:
        """The runs of this plan, as far as they were recorded."""
        return tuple(shard_log.read(self.store, self.plan.id))

    @cached_property
    def figures(self) -> Mapping[str, Any]:
        """How the model of this plan compares with fp32; empty where it is fp32 itself."""
        with suppress(MxsparkError):
            found = precision.kept_figures(self.store, self.plan)
            return {**found.to_json(), "in_words": str(found)} if found else {}
        return {}

    @cached_property
    def state(self) -> str:
        """In one word or two."""
        if self.store.has(SUCCESS) and len(self.shards) == self.plan.shards:
            return "complete"
        if self.store.holder(LOCK) is not None:
            return "running"
        return "not finished" if len(self.shards) < self.plan.shards else "ended without success"
