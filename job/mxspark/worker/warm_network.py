"""The network of a worker process: made once, or before workers are forked, which then share its parameters, and
compute at once what MXNet otherwise prepares in each first batch.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from mxspark.inference.bundle import Bundle
from mxspark.inference.mxnet import Context
from mxspark.inference.network import Network


@dataclass(frozen=True)
class NetworkTask:
    """Which network: those of the same digest, batch size and context are the same."""

    digest: str
    batch_size: int
    context: Context
    device: int = 0
    bundle: Bundle | None = field(default=None, compare=False)  # where it is made

    @classmethod
    def of(cls, bundle: Bundle, batch_size: int, context: Context, device: int = 0) -> "NetworkTask":
        return cls(bundle.digest, batch_size, context, device, bundle)


@lru_cache(maxsize=1)
def network(task: NetworkTask) -> Network:
    """The network, once in this process and those that it forks. Raises as Network does."""
    if task.bundle is None:
        raise AssertionError("a task to make it has its files")
    return Network(task.bundle, task.batch_size, task.context, task.device)


def warm(task: NetworkTask) -> None:
    """Makes the network and lets it compute a batch."""
    made = network(task)
    made.predict(np.zeros((1, *made.inspection.input_shape[1:]), np.float32))
