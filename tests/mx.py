"""MXNet, with which tests make networks."""

import os
import warnings
from typing import Any

import numpy as np

os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # else every bind prints a line
if "bool" not in vars(np):
    vars(np)["bool"] = bool  # MXNet 1.9.1 asks for numpy's old name

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for other old things too
    import mxnet

mx: Any = mxnet
