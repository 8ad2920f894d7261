"""Presets: the numbers that each makes of pixels are those that its source writes; the size is the network's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mxspark.cli import console
from mxspark.decode.preprocess import ImageLimits, load_array
from mxspark.errors import UsageError
from mxspark.inference import bundle
from mxspark.inference.network import Network
from mxspark.inference.network import inspect as inspected
from mxspark.settings import document, presets
from mxspark.settings.job import FORMATS, ModelSettings
from mxspark.settings.model_spec import ModelInput, ModelSpec, PresetName
from mxspark.storage import Access
from tests.mx import mx
from tests.unit.pictures import noise, pillow_encoded
from tests.unit.test_network import DENSE, LOGITS, logits_of, made

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mxnet.*")

LIMITS = ImageLimits(10**8, 1, FORMATS)
RED, GREEN, BLUE = 200, 100, 50
# By hand, from what the presets' sources say of a pixel of this colour.
IMAGENET = [(200 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (50 / 255 - 0.406) / 0.225]
EXPECTED: dict[PresetName, list[float]] = {
    "article": [200, 100, 50],
    "gluon": IMAGENET,
    "torchvision": IMAGENET,
    "keras-caffe": [50 - 103.939, 100 - 116.779, 200 - 123.68],
    "keras-tf": [200 / 127.5 - 1, 100 / 127.5 - 1, 50 / 127.5 - 1],
    "caffe-squash": [50 - 104, 100 - 117, 200 - 123],
    "insightface-112": [(200 - 127.5) / 128, (100 - 127.5) / 128, (50 - 127.5) / 128],
    "mnist": [124 / 255],  # ITU-R 601: 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    "raw": [200, 100, 50],
}
SIDES = {"insightface-112": 112, "mnist": 28}


def spec_of(**values: Any) -> ModelSpec:
    return document.parse(ModelSpec, values, "model.yaml")


def filled(spec: ModelSpec, declared: tuple[int, int] | None = None) -> ModelSpec:
    return presets.resolved(spec, next(presets.inputs(spec, declared)))


def array(image: Image.Image, spec: ModelSpec) -> Any:
    return load_array(pillow_encoded(image, "PNG"), LIMITS, spec.input, spec.preprocess)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_preset_makes_of_pixels_what_its_source_says(name: PresetName) -> None:
    spec = filled(spec_of(preset=name))

    found = array(Image.new("RGB", (300, 400), (RED, GREEN, BLUE)), spec)

    side = SIDES.get(name, 224)
    assert found.shape == (len(EXPECTED[name]), side, side)
    np.testing.assert_allclose(found[:, 0, 0], EXPECTED[name], rtol=1e-5, atol=1e-5)
    assert presets.PRESETS[name].source


def test_every_preset_is_tried() -> None:
    assert set(EXPECTED) == set(presets.PRESETS)


def test_caffe_squashes_before_it_crops() -> None:
    photo = Image.fromarray(noise(300, 600))
    spec = filled(spec_of(preset="caffe-squash"))

    squashed = photo.resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 240, 240))

    expected = np.asarray(squashed, np.float32)[:, :, ::-1].transpose(2, 0, 1) - np.reshape([104, 117, 123], (3, 1, 1))
    # The crop is computed alone, so that pixels are rounded at another place.
    assert np.abs(array(photo, spec) - expected).max() <= 1


def test_the_crop_grows_with_the_images() -> None:
    spec = filled(spec_of(preset="torchvision", input={"height": 299, "width": 299}))
    assert (spec.preprocess.shorter_side, spec.input.height) == (342, 299)


def test_what_model_yaml_says_counts() -> None:
    spec = filled(spec_of(preset="gluon", preprocess={"filter": "bicubic", "std": 1}, input={"channels": 3}))
    assert (spec.preprocess.filter, spec.preprocess.std, spec.preprocess.scale) == ("bicubic", (1.0,), 1 / 255)
    assert spec.preprocess.shorter_side == 256


def test_a_model_yaml_that_does_not_go_with_its_preset_is_refused() -> None:
    with pytest.raises(UsageError, match="shorter_side is 100, smaller than the network's 224 x 224"):
        filled(spec_of(preset="gluon", preprocess={"shorter_side": 100}))


# ---- the size is the network's ----


def dense_for(side: int, channels: int = 3) -> dict[str, Any]:
    weight = np.random.default_rng(0).normal(0, 0.001, (5, channels * side * side)).astype(np.float32)
    return {"arg:fc_weight": weight, "arg:fc_bias": np.zeros(5, np.float32)}


@pytest.mark.parametrize(
    ("preset", "side", "channels"), [("gluon", 299, 3), (None, 299, 3), ("mnist", 28, 1), ("raw", 64, 1)]
)
def test_where_nothing_says_the_size_the_one_that_fits_is_taken(
    tmp_path: Path, preset: Any, side: int, channels: int
) -> None:
    found = inspected(made(tmp_path, LOGITS, dense_for(side, channels), spec_of(preset=preset)), None)[0]

    assert (found.input.height, found.input.width, found.input.channels) == (side, side, channels)
    assert found.preprocess.shorter_side == (342 if preset == "gluon" else None)
    pinned = found.pinned(spec_of(preset=preset))
    assert filled(document.parse(ModelSpec, pinned.model_dump(exclude_none=True), "")).preprocess == found.preprocess


def test_the_size_that_the_graph_declares_is_taken(tmp_path: Path) -> None:
    pooled = mx.sym.Pooling(mx.sym.var("data", shape=(0, 3, 160, 128)), global_pool=True, pool_type="avg")
    weights = {"arg:fc_weight": np.ones((5, 3), np.float32), "arg:fc_bias": np.zeros(5, np.float32)}

    found = inspected(made(tmp_path, logits_of(pooled), weights, spec_of(preset="keras-tf")), None)[0]

    assert (found.input.height, found.input.width) == (160, 128)


def test_a_size_that_model_yaml_says_is_not_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fc_weight has shape \(5, 268203\)"):
        inspected(made(tmp_path, LOGITS, dense_for(299), spec_of(preset="gluon", input={"height": 224})), None)


# ---- what the graph does itself ----


def scaled(data: Any) -> Any:
    return (data - 127.5) * 0.0078125


SCALED = logits_of(scaled(mx.sym.var("data")))


def normalized(mean: float, variance: float) -> tuple[Any, dict[str, Any]]:
    states = {"aux:bn_data_moving_mean": mean, "aux:bn_data_moving_var": variance}
    ends = {"arg:bn_data_gamma": 1, "arg:bn_data_beta": 0}
    arrays = {name: np.full(3, value, np.float32) for name, value in {**states, **ends}.items()}
    return logits_of(mx.sym.BatchNorm(mx.sym.var("data"), name="bn_data", fix_gamma=True)), {**DENSE, **arrays}


SMALL = {"height": 2, "width": 4}


def refusal(folder: Path, symbol: Any, parameters: Any, preset: str) -> str:
    with pytest.raises(UsageError) as refused:
        inspected(made(folder, symbol, parameters, spec_of(preset=preset, input=SMALL)), None)
    return str(refused.value)


@pytest.mark.parametrize("preset", ["gluon", "keras-tf", "insightface-112"])
def test_a_network_that_scales_its_input_itself_wants_raw_pixels(tmp_path: Path, preset: PresetName) -> None:
    told = refusal(tmp_path, SCALED, DENSE, preset)
    assert "the graph scales its input itself (_minus_scalar " in told
    assert "take the preset raw" in told

    found = inspected(made(tmp_path, SCALED, DENSE, spec_of(preset="raw", input=SMALL)), None)[0]
    assert found.scaling == ("_minus_scalar", "_mul_scalar")
    assert ("scaling", "by the graph itself: _minus_scalar, _mul_scalar") in console.model_sections(found)


def test_a_normalization_of_raw_pixels_wants_them(tmp_path: Path) -> None:
    assert "(BatchNorm bn_data)" in refusal(tmp_path, *normalized(120.0, 4000.0), "gluon")


def test_a_normalization_of_scaled_pixels_does_not(tmp_path: Path) -> None:
    # As Gluon's ResNets of the second version have it.
    symbol, parameters = normalized(0.0, 1.0)
    assert Network(made(tmp_path, symbol, parameters, spec_of(preset="gluon", input=SMALL)), 2, "cpu").classes == 5


# ---- where a preset is for ----


def test_a_preset_is_for_models_of_which_nothing_says_the_pixels(tmp_path: Path) -> None:
    found = made(tmp_path, LOGITS, dense_for(28))
    files = {"symbol": str(found.paths["symbol"]), "params": str(found.paths["params"])}

    source = bundle.find(ModelSettings(**files, preset="raw"), Access())
    assert source.spec.preset == "raw"
    assert bundle.find(ModelSettings(path=str(tmp_path), preset="raw"), Access()).spec.preset == "raw"

    bundle.pack(bundle.with_output(source, "logits"), tmp_path, Access(), tmp_path / "plain")
    spec = source.spec.model_copy(
        update={"input": ModelInput(height=28, width=28), "preprocess": found.spec.preprocess}
    )
    text = document.dump_yaml(spec)
    (tmp_path / "model.yaml").write_text(
        f"{text}symbol: {{file: net-symbol.json}}\nparams: {{file: net-0000.params}}\n"
    )
    with pytest.raises(UsageError, match=r"has preprocess"):
        bundle.find(ModelSettings(path=str(tmp_path), preset="gluon"), Access())


def test_another_output_is_taken_without_what_model_yaml_says_of_its_own(tmp_path: Path) -> None:
    spec = spec_of(output={"kind": "sigmoid", "threshold": 0.5, "also": {"a": "x"}})
    source = replace(made(tmp_path).source, spec=spec)

    def taken(kind: Any, name: str | None, also: Any) -> dict[str, Any]:
        return bundle.with_output(source, kind, name, also).spec.output.model_dump(exclude_none=True)

    assert taken(None, None, {}) == spec.output.model_dump(exclude_none=True)
    assert taken(None, "pool", {}) == {"name": "pool", "also": {"a": "x"}}
    assert taken("vector", None, {"b": "y"}) == {"kind": "vector", "also": {"a": "x", "b": "y"}}
    with pytest.raises(UsageError, match="two columns would be called a and A"):
        taken(None, None, {"A": "y"})


def test_another_preset_is_another_model(tmp_path: Path) -> None:
    found = made(tmp_path)
    digests = {
        bundle.Bundle(spec_of(preset=preset), found.paths, (), found.source).digest for preset in (None, "raw", "gluon")
    }
    assert len(digests) == 3
