"""Lets `import mxnet` work in .venv: MXNet 1.9.1 asks for numpy's old name of bool, which numpy 1.24 dropped.

tools/setup.sh copies it beside the packages, with a .pth file by which every Python of .venv imports it when it starts.
So it imports nothing itself: numpy gets the name when mxnet is asked for.
"""

import sys


class _BeforeMxnet:
    """A finder that finds nothing, but hears of the first import of mxnet."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "mxnet":
            sys.meta_path.remove(self)
            try:
                import numpy
            except ImportError:  # mxnet will say so
                return
            if "bool" not in vars(numpy):
                numpy.bool = bool  # type: ignore[attr-defined]


sys.meta_path.insert(0, _BeforeMxnet())
