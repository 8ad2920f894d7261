"""The network of a worker process: made once, or before workers are forked, which then share its parameters' memory.

Only bound before, not tried: what a batch is computed in would lie in the memory of the process that forks, for good.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from mxspark.inference.bundle import Bundle
from mxspark.inference.mxnet import Context
from mxspark.inference.network import Network


@dataclass(frozen=True)
class NetworkTask:
    """Which network: those of the same digest, batch size and context are the same."""

    bundle: Bundle = field(compare=False)
    digest: str
    batch_size: int
    context: Context
    device: int

    @classmethod
    def of(cls, bundle: Bundle, batch_size: int, context: Context, device: int = 0) -> Self:
        return cls(bundle, bundle.digest, batch_size, context, device)


@lru_cache(maxsize=1)
def network(task: NetworkTask) -> Network:
    """The network, once in this process and those that it forks. Raises as Network does."""
    return Network(task.bundle, task.batch_size, task.context, task.device)
