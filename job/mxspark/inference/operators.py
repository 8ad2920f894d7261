"""MXNet imported without its operators' Python functions, which are made when they are first called.

MXNet writes and compiles the source of some 3,000 functions, with their documentation, each time that it is imported:
1.0 of its 1.7 s of a processor, in each process. A job calls about ten of them.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

Operator = Callable[..., Any]
Make = Callable[[Any, str, str], Operator]  # by handle, MXNet's name and Python's
# The functions of mxnet.base that have the operators of a module made, by the last of their arguments.
MAKERS = ("_init_op_module", "_init_np_op_module")


def import_mxnet() -> ModuleType:
    """The module mxnet; as `import mxnet`, whose errors it raises.

    The names are all there, in all of MXNet's modules. What is left out are the operators' signatures and documentation
    for `help`.
    """
    spec = None if "mxnet" in sys.modules else find_spec("mxnet")
    if spec is not None and spec.submodule_search_locations:
        _execute(spec)
    import mxnet

    module: ModuleType = mxnet
    return module


def _execute(spec: ModuleSpec) -> None:
    """As importlib's documentation has it, only that mxnet.base comes first, which needs nothing of the rest."""
    package = sys.modules["mxnet"] = module_from_spec(spec)
    try:
        base = importlib.import_module("mxnet.base")
        for name in MAKERS:
            setattr(base, name, _making_later(getattr(base, name)))
        spec.loader.exec_module(package)  # type: ignore[union-attr]
    except BaseException:
        del sys.modules["mxnet"]
        raise


def _making_later(init: Callable[..., None]) -> Callable[..., None]:
    def init_later(*arguments: Any, **named: Any) -> None:
        if "make_op_func" in named:
            named["make_op_func"] = _later(named["make_op_func"])
        else:
            arguments = (*arguments[:-1], _later(arguments[-1]))
        init(*arguments, **named)

    return init_later


def _later(make: Make) -> Make:
    def make_later(handle: Any, name: str, function_name: str) -> Operator:
        made: Operator | None = None

        def operator(*arguments: Any, **named: Any) -> Any:
            nonlocal made
            if made is None:
                made = make(handle, name, function_name)
            return made(*arguments, **named)

        operator.__name__ = function_name
        operator.__doc__ = ""  # MXNet adds to some
        return operator

    return make_later
