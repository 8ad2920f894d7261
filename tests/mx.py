"""MXNet, with which tests make networks."""

import warnings
from typing import Any

import numpy as np

if "bool" not in vars(np):
    vars(np)["bool"] = bool  # MXNet 1.9.1 asks for numpy's old name

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for other old things too
    import mxnet

mx: Any = mxnet
