"""Several outputs of an ONNX file through Spark: from the command that converts it to the columns of a table, which is
resumed where a part is lost.
"""

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from tests.command import Command
from tests.conftest import Here
from tests.convert.onnx_graphs import Weights, model
from tests.spark.conftest import QUICK_JAVA, Run
from tests.spark.session import QUICK
from tests.unit.pictures import noise

SIDE = 16
# Classes; roots of how bright each colour is above 10, of which black has none; and a number, called as PyTorch counts.
GRAPH = """
p = GlobalAveragePool(images)
f = Flatten(p)
d = Sub(f, ten)
features = Sqrt(d)
l = MatMul(f, classes)
kind = Softmax<axis = 1>(l)
n495 = MatMul(f, grey)
"""
GREY = np.full((3, 1), 1 / 3, np.float32)
SCRIPT = f"""
    import json, pathlib, sys
    import mxspark
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]"){QUICK}.getOrCreate()
    images, bundle, output = sys.argv[1:]
    job = dict(input=images, model=bundle, output=output, batch_size=2, max_failed_fraction=1)
    first = mxspark.run(**job)
    lost = sorted(pathlib.Path(output).glob("part-*"))[1]
    before = lost.read_bytes()
    for path in (lost, pathlib.Path(output, "_SUCCESS")):
        path.unlink()
    again = mxspark.run(**job)
    print("RESULT", json.dumps([first.images, again.images, again.rows, lost.read_bytes() == before]))
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(4):
        Image.fromarray(noise(SIDE, SIDE, seed)).save(folder / f"{seed}.png")
    Image.new("RGB", (SIDE, SIDE)).save(folder / "black.png")
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def bundle(mxspark: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    weights: Weights = {"ten": np.full((1, 3), 10, np.float32), "classes": (3, 2), "grey": GREY}
    made = model(GRAPH, weights, shape=("N", 3, SIDE, SIDE), outputs=("features", "kind", "495"))
    del made.graph.node[0], made.graph.initializer[0]
    made.graph.node[-1].output[0] = "495"
    onnx.save(made, str(folder / "faces.onnx"))
    done = mxspark(
        *("model", "convert", folder / "faces.onnx", "--output", folder / "bundle", "--preset", "raw"),
        *("--outputs", "kind,features,495", "--output-name", "kind"),
    )
    done.succeeded()
    return folder / "bundle"


@pytest.fixture(scope="module")
def run(mxspark: Command, images: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    (folder / "script.py").write_text(textwrap.dedent(SCRIPT))
    output = folder / "table"
    environment = {"PYSPARK_PYTHON": "python", **QUICK_JAVA}
    finished = mxspark.run("python", folder / "script.py", images, bundle, output, environment=environment)
    return Run(finished.succeeded(), output)


def test_each_output_is_a_column_and_what_is_no_number_is_told(run: Run, images: Path) -> None:
    table = run.table.set_index("key")

    assert list(table.columns) == ["status", "error", "predictions", "features", "output_495"]
    assert list(table.index) == ["0.png", "1.png", "2.png", "3.png", "black.png", "broken.png"]
    assert list(table["status"]) == ["ok"] * 4 + ["not_finite", "truncated"]
    assert "not a number" in table.loc["black.png", "error"]
    for key, row in table[table["status"] == "ok"].iterrows():
        means = np.asarray(Image.open(images / str(key)), np.float64).mean(axis=(0, 1))
        assert len(row["predictions"]) == 2
        np.testing.assert_allclose(row["features"], np.sqrt(means - 10), rtol=1e-5)
        np.testing.assert_allclose(row["output_495"], [means.mean()], rtol=1e-5)


def test_a_part_that_is_lost_is_made_again_and_is_the_same(run: Run) -> None:
    (line,) = [line for line in run.finished.output.splitlines() if line.startswith("RESULT ")]

    assert json.loads(line.removeprefix("RESULT ")) == [6, 2, 6, True]


def test_another_layer_for_a_column_is_another_job(
    here: Here, no_aws: None, run: Run, images: Path, bundle: Path
) -> None:
    job = ("run", "--input", images, "--model", bundle, "--output", run.output, "--batch-size", "2")

    told = here(*job, "--set", "model.output_also.features=l").ended_with(2)

    assert "holds the results of another job" in told.text


def test_the_trial_shows_them_too(here: Here, images: Path, bundle: Path) -> None:
    told: Any = here("model", "try", bundle, images / "0.png", images / "black.png").succeeded()

    assert "norm of features" in told.output
    assert "not_finite" in told.output
