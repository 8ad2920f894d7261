"""docs/vectors.md: its run, its neighbours, its DuckDB query and its FAISS index, as they stand; the vectors are those
that MXNet's own executor gives of the same layer.
"""

import re
import shlex
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from examples.s3 import Server
from tests.command import REPOSITORY, Command, Finished
from tests.conftest import BUCKET, Here, put
from tests.mx import mx
from tests.spark.conftest import Run

from mxspark.decode.preprocess import ImageLimits, load_array
from mxspark.inference import bundle
from mxspark.settings.job import FORMATS, ModelSettings
from mxspark.storage import Access

PAGE = (REPOSITORY / "docs" / "vectors.md").read_text()
RUN, NEIGHBOURS = (shlex.split(line)[1:] for line in re.findall(r"^mxspark .*$", PAGE, re.MULTILINE))


def placed(arguments: list[str], output: Path) -> list[str]:
    """A command of the page with its output elsewhere."""
    return [str(output) if argument == "vectors" else argument for argument in arguments]


@pytest.fixture(scope="module")
def run(mxspark: Command, tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("vectors") / "vectors"
    finished = mxspark(*placed(RUN, output))
    return Run(finished.succeeded(), output)


def by_hand(model: Path, images: Path, keys: list[str]) -> Any:
    """The pooled features (n, 1280) by an executor over the symbol's own internals."""
    spec = bundle.find(ModelSettings(path=str(model)), Access()).spec
    limits = ImageLimits(10**8, 1, FORMATS)
    pixels = np.stack([load_array((images / key).read_bytes(), limits, spec.input, spec.preprocess) for key in keys])
    symbol = mx.sym.load(str(model / "efficientnet-lite0-symbol.json")).get_internals()["pool_output"]
    saved = mx.nd.load(str(model / "efficientnet-lite0-0000.params"))
    executor = symbol.simple_bind(mx.cpu(), data=pixels.shape, grad_req="null")
    arguments, states = ({k[4:]: v for k, v in saved.items() if k.startswith(kind)} for kind in ("arg:", "aux:"))
    executor.copy_params_from(arguments, states, allow_extra_params=True)
    return executor.forward(is_train=False, data=mx.nd.array(pixels))[0].asnumpy().reshape(len(keys), -1)


def test_vectors_come_beside_the_classes_and_are_the_layer_s(
    run: Run, imagenet_bundle: Path, imagenet_images: Path
) -> None:
    table = run.table
    assert set(table["status"]) == {"ok"}
    assert all(len(best) == 5 for best in table["predictions"])
    assert pq.read_schema(next(run.output.glob("part-*.parquet"))).field("features").type.list_size == 1280
    keys = list(table["key"])[:4]
    expected = by_hand(imagenet_bundle, imagenet_images, keys)
    np.testing.assert_allclose(np.stack(table["features"][:4]), expected, rtol=1e-3, atol=1e-4)


def test_a_person_sees_how_the_vectors_begin(run: Run) -> None:
    lines = [line for line in run.finished.output.splitlines() if "coffee.png" in line]
    assert re.search(r"espresso +.*\[\d+\.\d{3}, \d+\.\d{3}, \d+\.\d{3}, …", lines[0])


def nearest(told: Finished) -> list[str]:
    return re.findall(r"^ +[01]\.\d{4} +(\S+)", told.output, re.MULTILINE)


def test_the_other_half_of_a_stereo_pair_is_the_nearest(here: Here, run: Run) -> None:
    found = nearest(here(*placed(NEIGHBOURS, run.output)).succeeded())
    assert found[0] == "motorcycle_right.png"
    assert len(found) == 3


def test_a_table_in_s3_has_the_same_neighbours(here: Here, run: Run, s3_server: Server) -> None:
    files = (path for path in run.output.rglob("*") if path.is_file())
    put(s3_server, {f"vectors/{path.relative_to(run.output)}": path.read_bytes() for path in files})
    local = here(*placed(NEIGHBOURS, run.output)).succeeded()

    arguments = [f"s3://{BUCKET}/vectors" if argument == "vectors" else argument for argument in NEIGHBOURS]
    told = here(*arguments, "--endpoint-url", s3_server.endpoint_url, environment=s3_server.environment)

    assert told.succeeded().output == local.output


def example(heading: str) -> CodeType:
    """The code below one of the page's headings."""
    code = re.search(rf"## {heading}\s+.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    return compile(code[1], heading, "exec")


def test_duckdb_finds_the_same(here: Here, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.output.parent)
    names: dict[str, Any] = {}
    exec(example("DuckDB"), names)
    assert [key for key, _ in names["nearest"]] == nearest(here(*placed(NEIGHBOURS, run.output)).succeeded())


def test_faiss_finds_the_same(here: Here, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.output.parent)
    names: dict[str, Any] = {}
    exec(example("FAISS"), names)
    keys = names["table"]["key"].to_pylist()
    one = keys.index("motorcycle_left.png")
    _, places = names["index"].search(names["features"][one : one + 1], 4)
    assert [keys[place] for place in places[0]] == [
        "motorcycle_left.png",
        *nearest(here(*placed(NEIGHBOURS, run.output)).succeeded()),
    ]


def test_the_code_for_pgvector_is_python() -> None:
    assert example("pgvector").co_names


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--format", "text"), "output.format is text, whose lines have classes"),
        (("--set", "model.output_also.Key=pool"), "two columns would be called key and Key"),
    ],
)
def test_what_does_not_go_with_vectors_is_refused_and_nothing_is_written(
    here: Here, no_aws: None, tmp_path: Path, flags: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    told = here(*placed(RUN, tmp_path / "table"), *flags).ended_with(2)
    assert words in told.text
    assert not (tmp_path / "table").exists()


def test_another_layer_or_type_on_the_same_output_is_refused(
    here: Here, no_aws: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    for flags in (("--set", "output.vector_type=float16"), ("--set", "model.output_also.more=fc")):
        told = here(*placed(RUN, run.output), *flags).ended_with(2)
        assert "holds the results of another job" in told.text
