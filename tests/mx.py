"""MXNet, with which tests make networks."""

from typing import Any

from mxspark.inference.mxnet import load_mxnet

mx: Any = load_mxnet()
