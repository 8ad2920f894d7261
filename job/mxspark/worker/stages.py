"""The stages of a worker's pipeline for one model: the same for a shard of a run, and for images that are passed."""

from collections.abc import Callable, Sequence

from mxspark.decode import preprocess
from mxspark.decode.preprocess import ImageLimits
from mxspark.inference.bundle import Bundle
from mxspark.inference.network import Network
from mxspark.settings.job import InputSettings, Settings, memory_bytes
from mxspark.worker import sandbox
from mxspark.worker.pipeline import Stages
from mxspark.worker.reading import columns_of
from mxspark.worker.sandbox import Child, DecodeTask, Sandbox


def decode_task(settings: InputSettings, network: Network) -> DecodeTask:
    """What images become for a network: with the size and the channels that it takes, and what a preset fills in."""
    limits = ImageLimits(settings.max_pixels, settings.max_frames, settings.formats)
    model_input, steps = network.inspection.input, network.inspection.preprocess
    memory = memory_bytes(settings.max_decode_memory)
    return DecodeTask(limits, model_input, steps, settings.max_decode_seconds, memory, settings.exact_decode)


def stages(
    settings: Settings,
    model: Bundle,
    network: Network,
    task: DecodeTask,
    fetch: Callable[[str], bytes],
    children: Sequence[Child] = (),
) -> Stages:
    """Images are decoded by `children`, or in this process where there are none."""
    in_children = sandbox.shared_out([Sandbox(task, child) for child in children]) if children else None

    def in_process(data: bytes) -> preprocess.Pixels:
        return preprocess.load_array(data, task.limits, task.model_input, task.steps, task.is_exact)

    return Stages(
        fetch=fetch,
        decode=in_children or in_process,
        predict=network.predict_all,
        batch_size=network.batch_size,
        top_k=settings.top_k,
        labels=model.labels,
        sums_to_one=network.inspection.meaning.sums_to_one,
        threshold=model.spec.output.threshold or 0.0,
        columns=columns_of(network.inspection, settings.output.vector_type, settings.output.l2_normalize),
    )
