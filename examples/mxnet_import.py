"""The examples' one way to MXNet: MXNet 1.9.1 asks for numpy's old name of bool, which numpy 1.24 dropped."""

import numpy as np

if "bool" not in vars(np):
    vars(np)["bool"] = bool

import mxnet as mx

__all__ = ["mx"]
