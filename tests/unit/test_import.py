"""`import mxspark` brings nothing heavy, and its public names come when they are asked for."""

import inspect
import json
import subprocess
import sys

import pytest

import mxspark
from mxspark import UsageError
from mxspark.run import status

HEAVY = ("numpy", "pyspark", "mxnet", "pyarrow", "pandas", "PIL", "boto3", "pydantic", "typer", "rich")
LOOK = f"""
import sys, json
import mxspark
assert callable(mxspark.run)
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""


def test_the_import_alone_brings_no_library() -> None:
    found = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []


def test_each_public_name_is_there_and_is_listed() -> None:
    assert set(mxspark.__all__) <= set(dir(mxspark))
    for name in mxspark.__all__:
        assert getattr(mxspark, name) is not None
    assert not hasattr(mxspark, "no_such_name")


def test_run_is_called_also_when_its_room_was_imported() -> None:
    assert status.__name__ == "mxspark.run.status"
    assert callable(mxspark.run)
    assert list(inspect.signature(mxspark.run).parameters)[:3] == ["input", "output", "model"]
    with pytest.raises(UsageError, match=r"output\.path is missing"):
        mxspark.run(input="photos", model="bundle")
