"""A whole run, from settings to summary.

And `mxspark.run(...)`, which people call: for Python a package's room and its function of the same name are one, so the
room lets itself be called. The function is mxspark.api.job.run.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    @property
    def __signature__(self) -> Any:  # for help and notebooks
        import inspect

        return inspect.signature(self._function)

    @property
    def _function(self) -> Any:
        return import_module("mxspark.api.job").run  # above this room, and imported when it is called

    def __call__(self, *places: Any, **settings: Any) -> Any:
        return self._function(*places, **settings)


sys.modules[__name__].__class__ = _Room
