"""Bundles: found wherever they are, fetched once, and never taken for what they are not."""

import hashlib
import multiprocessing
import os
import pickle
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxspark.errors import MxsparkError, UsageError
from mxspark.inference import bundle
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.settings.job import ModelSettings, StorageSettings
from mxspark.settings.model_spec import ModelOutput, ModelSpec, Preprocessing
from mxspark.storage import Access, StorageError
from tests.unit.web import CUT, Web, serving
from tests.unit.words import right_or_refused

FILES = {"net-symbol.json": b'{"nodes": []}', "net-0000.params": b"numbers" * 1000, "synset.txt": b"cat\ndog\n"}
SPEC = """
symbol: {file: net-symbol.json}
params: {file: net-0000.params}
labels: {file: synset.txt}
"""
ACCESS = Access(StorageSettings(retries=0))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def folder_with(folder: Path, files: dict[str, bytes] = FILES, spec: str | None = SPEC) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if spec is not None:
        (folder / "model.yaml").write_text(spec)
    return folder


def fetched(tmp_path: Path, **model: Any) -> Bundle:
    return bundle.fetch(bundle.find(ModelSettings(**model), ACCESS), tmp_path / "cache", ACCESS)


def refusal(tmp_path: Path, **model: Any) -> str:
    with pytest.raises(MxsparkError) as refused:
        fetched(tmp_path, **model)
    assert isinstance(refused.value, (UsageError, StorageError))
    return str(refused.value)


def content_of(found: Bundle) -> dict[str, bytes]:
    return {role: path.read_bytes() for role, path in found.paths.items()}


WHOLE = {"symbol": FILES["net-symbol.json"], "params": FILES["net-0000.params"], "labels": FILES["synset.txt"]}

# ---- found ----


def test_a_folder_with_a_model_yaml_is_a_bundle(tmp_path: Path) -> None:
    found = fetched(
        tmp_path, path=str(folder_with(tmp_path / "model", spec=SPEC + "name: mine\npreprocess: {scale: 0.5}\n"))
    )

    assert content_of(found) == WHOLE
    assert found.labels == ("cat", "dog")
    assert (found.spec.name, found.spec.preprocess.scale) == ("mine", 0.5)
    assert found.source.sha256 == {role: digest(content) for role, content in WHOLE.items()}


def test_a_folder_without_a_model_yaml_is_found_by_the_endings_of_its_files(tmp_path: Path) -> None:
    found = fetched(tmp_path, path=str(folder_with(tmp_path / "model", spec=None)))

    assert content_of(found) == WHOLE
    assert found.spec == ModelSpec()


def test_single_files_are_a_model_too_with_labels_or_without(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model", spec=None)
    symbol, params = str(folder / "net-symbol.json"), str(folder / "net-0000.params")

    assert fetched(tmp_path, symbol=symbol, params=params, labels=str(folder / "synset.txt")).labels == ("cat", "dog")
    assert fetched(tmp_path, symbol=symbol, params=params).labels == ()


def test_a_bundle_is_fetched_from_the_web(tmp_path: Path) -> None:
    with serving(
        {f"/models/{name}": content for name, content in {**FILES, "model.yaml": SPEC.encode()}.items()}
    ) as web:
        found = fetched(tmp_path, path=f"{web.url}/models/")

    assert content_of(found) == WHOLE


def test_single_files_are_fetched_from_the_web_whatever_their_query_is(tmp_path: Path) -> None:
    labels = b"label\ncat\ndog\n"
    with serving({"/s": WHOLE["symbol"], "/p": WHOLE["params"], "/labels.csv": labels}) as web:
        found = fetched(
            tmp_path, symbol=f"{web.url}/s?v=1", params=f"{web.url}/p?v=2", labels=f"{web.url}/labels.csv?Signature=abc"
        )

    assert found.labels == ("cat", "dog")


@pytest.mark.parametrize("spec", ["symbol: {file: net-symbol.json}\n", "params: {file: net-0000.params}\n", ""])
def test_a_model_yaml_that_names_no_symbol_or_params_is_refused(tmp_path: Path, spec: str) -> None:
    refused = refusal(tmp_path, path=str(folder_with(tmp_path / "model", spec=spec)))

    assert "model.yaml" in refused
    assert "symbol" in refused or "params" in refused


def test_a_model_yaml_with_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    refused = refusal(tmp_path, path=str(folder_with(tmp_path / "model", spec=SPEC + "preproces: {scale: 0.5}\n")))

    assert "model.yaml" in refused
    assert "'preproces'" in refused


def test_a_file_that_model_yaml_names_but_is_not_there_is_named(tmp_path: Path) -> None:
    for name in FILES:
        folder = folder_with(tmp_path / "model")
        (folder / name).unlink()

        assert name in refusal(tmp_path, path=str(folder))


@pytest.mark.parametrize("removed", ["net-symbol.json", "net-0000.params"])
def test_a_folder_that_is_no_model_is_told_what_it_lacks(tmp_path: Path, removed: str) -> None:
    folder = folder_with(tmp_path / "model", spec=None)
    (folder / removed).unlink()

    refused = refusal(tmp_path, path=str(folder))

    assert str(folder) in refused
    assert removed[-7:] in refused


def test_a_folder_with_the_parameters_of_two_epochs_is_not_guessed_at(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model", {**FILES, "net-0010.params": b"other"}, spec=None)

    assert "2 files ending in .params" in refusal(tmp_path, path=str(folder))


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refusal(tmp_path, path=str(tmp_path / "nowhere"))
    assert "nowhere.json" in refusal(
        tmp_path, symbol=str(tmp_path / "nowhere.json"), params=str(tmp_path / "nowhere.params")
    )


def test_a_file_is_not_a_bundle(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model")

    assert "net-0000.params" in refusal(tmp_path, path=str(folder / "net-0000.params"))


def test_a_web_folder_without_model_yaml_cannot_be_searched(tmp_path: Path) -> None:
    with serving({f"/{name}": content for name, content in FILES.items()}) as web:
        assert "model.yaml" in refusal(tmp_path, path=web.url)


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with serving({}) as web:
        gone = web.url

    assert gone in refusal(tmp_path, symbol=f"{gone}/s", params=f"{gone}/p")


# ---- verified ----


def test_a_file_that_has_another_digest_than_it_should_is_refused_by_name(tmp_path: Path) -> None:
    for role, name in (("symbol", "net-symbol.json"), ("params", "net-0000.params"), ("labels", "synset.txt")):
        in_yaml = folder_with(tmp_path / "model", spec=SPEC.replace(name, f"{name}, sha256: {64 * 'a'}"))
        refused = refusal(tmp_path, path=str(in_yaml))
        assert all(part in refused for part in (name, role, digest(WHOLE[role]), 64 * "a"))

        plain = folder_with(tmp_path / "model")
        assert name in refusal(tmp_path, path=str(plain), sha256={role: 64 * "1"})


def test_the_right_digests_pass(tmp_path: Path) -> None:
    digests = {role: digest(content) for role, content in WHOLE.items()}

    assert content_of(fetched(tmp_path, path=str(folder_with(tmp_path / "model")), sha256=digests)) == WHOLE


def web_source(web: Web, path: str = "/p", expected: str | None = None) -> BundleSource:
    locations = {"symbol": f"{web.url}/s", "params": web.url + path}
    return BundleSource(ModelSpec(), locations, {"params": expected} if expected else {})


def test_a_download_with_another_digest_is_refused_and_not_kept(tmp_path: Path) -> None:
    with (
        serving({"/s": b"{}", "/p": b"swapped"}) as web,
        pytest.raises(UsageError, match="/p: this is not the params file"),
    ):
        bundle.fetch(web_source(web, expected=digest(b"original")), tmp_path, ACCESS)

    assert b"swapped" not in [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("known", [True, False])
def test_a_download_that_breaks_off_is_refused_by_name_and_not_kept(tmp_path: Path, known: bool) -> None:
    content = b"numbers" * 100_000
    with serving({"/s": b"{}", "/p": content}) as web, pytest.raises(MxsparkError) as refused:
        bundle.fetch(web_source(web, CUT + "p", digest(content) if known else None), tmp_path, ACCESS)

    assert "params" in str(refused.value)
    assert "/cut/p" in str(refused.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 2] == []


def test_a_missing_download_says_which_file_it_was(tmp_path: Path) -> None:
    with serving({"/s": b"{}"}) as web, pytest.raises(StorageError) as refused:
        bundle.fetch(web_source(web), tmp_path, ACCESS)

    assert all(part in str(refused.value) for part in ("params", f"{web.url}/p", "404"))


def test_the_secret_in_a_presigned_address_is_not_told(tmp_path: Path) -> None:
    with serving({"/s": b"{}"}) as web, pytest.raises(StorageError) as refused:
        bundle.fetch(web_source(web, "/p?X-Amz-Signature=hush"), tmp_path, ACCESS)

    assert "hush" not in str(refused.value)


def test_a_file_that_changes_during_a_run_is_noticed_by_the_workers_that_start_later(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model")
    with serving({"/s": b"{}", "/p": b"before"}) as web:
        seen_on_the_web = bundle.fetch(web_source(web), tmp_path / "driver", ACCESS).source
        seen = fetched(tmp_path, path=str(folder)).source
        web.files["/p"] = b"after"
        (folder / "net-0000.params").write_bytes(b"after")

        for source in (seen, seen_on_the_web):
            with pytest.raises(UsageError, match="this is not the params file"):
                bundle.fetch(source, tmp_path / "worker", ACCESS)


# ---- fetched once ----


def test_many_workers_that_start_together_download_a_file_once(tmp_path: Path) -> None:
    files = {"/s": b"{}", "/p": b"numbers" * 100_000}
    with serving(files, patience=0.5) as web:
        source = BundleSource(
            ModelSpec(),
            {"symbol": f"{web.url}/s", "params": f"{web.url}/p"},
            {"symbol": digest(b"{}"), "params": digest(files["/p"])},
        )
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: bundle.fetch(source, tmp_path, ACCESS), range(8)))

    assert web.requests == {"/s": 1, "/p": 1}
    assert all(one.paths["params"].read_bytes() == files["/p"] for one in found)


def test_many_processes_that_start_together_download_a_file_once(tmp_path: Path) -> None:
    files = {"/s": b"{}", "/p": b"numbers" * 100_000}
    with serving(files, patience=1) as web:
        source = BundleSource(ModelSpec(), {"params": f"{web.url}/p"}, {"params": digest(files["/p"])})
        with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
            found = [pool.submit(bundle.fetch, source, tmp_path, ACCESS) for _ in range(3)]
            contents = {one.result().paths["params"].read_bytes() for one in found}

    assert web.requests == {"/p": 1}
    assert contents == {files["/p"]}


def test_a_later_run_takes_what_is_in_the_cache_without_asking_the_server(tmp_path: Path) -> None:
    with serving({"/s": b"{}", "/p": b"numbers"}) as web:
        seen = bundle.fetch(web_source(web), tmp_path, ACCESS).source

    assert content_of(bundle.fetch(seen, tmp_path, ACCESS)) == {"symbol": b"{}", "params": b"numbers"}


def test_a_new_version_behind_the_same_address_is_fetched_by_a_new_run(tmp_path: Path) -> None:
    with serving({"/s": b"{}", "/p": b"one"}) as web:
        first = bundle.fetch(web_source(web), tmp_path, ACCESS)
        web.files["/p"] = b"two"
        second = bundle.fetch(web_source(web), tmp_path, ACCESS)

    assert (first.paths["params"].read_bytes(), second.paths["params"].read_bytes()) == (b"one", b"two")


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serving({"/s": b"{}", "/p": b"numbers"}) as web, pytest.raises(UsageError, match=str(tmp_path / "file")):
        bundle.fetch(web_source(web), tmp_path / "file" / "cache", ACCESS)


def test_the_cache_is_where_xdg_says_or_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert bundle.default_cache_dir() == tmp_path / "mine" / "mxspark"

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert bundle.default_cache_dir() == tmp_path / ".cache" / "mxspark"

    monkeypatch.setattr("os.access", lambda *_: False)  # as in a pod with a read-only root
    assert bundle.default_cache_dir() == Path(tempfile.gettempdir()) / f"mxspark-{os.geteuid()}"


def test_a_source_travels_to_the_workers(tmp_path: Path) -> None:
    source = fetched(tmp_path, path=str(folder_with(tmp_path / "model"))).source

    assert pickle.loads(pickle.dumps(source)) == source


# ---- labels ----


def labels_of(tmp_path: Path, content: bytes, name: str) -> tuple[str, ...]:
    folder = folder_with(tmp_path / "model", {**FILES, name: content}, SPEC.replace("synset.txt", name))
    return fetched(tmp_path, path=str(folder)).labels


@pytest.mark.parametrize(
    "content",
    [
        b"cat\ndog house\n",
        b"cat\ndog house",
        b"cat\r\ndog house\r\n",
        b"\xef\xbb\xbfcat\ndog house\n\n\n",
        b"cat  \ndog house\t\n",
    ],
)
def test_a_line_is_a_label(tmp_path: Path, content: bytes) -> None:
    assert labels_of(tmp_path, content, "synset.txt") == ("cat", "dog house")


def test_a_label_keeps_its_commas_and_its_place_where_one_before_is_empty(tmp_path: Path) -> None:
    assert labels_of(tmp_path, b"n01 tench, Tinca\n\nn02 goldfish\n", "synset.txt") == (
        "n01 tench, Tinca",
        "",
        "n02 goldfish",
    )


def test_only_the_end_of_a_line_ends_a_label(tmp_path: Path) -> None:
    assert labels_of(tmp_path, "a\u2028b\nc\x0bd\n".encode(), "synset.txt") == ("a\u2028b", "c\x0bd")


@pytest.mark.parametrize(
    "content",
    [
        b"label\ncat\ndog\n",
        b"index,label\n0,cat\n1,dog\n",
        b"label,index\ndog,1\ncat,0\n",
        b'\xef\xbb\xbfid,label\nx,"cat"\ny,dog\n',
    ],
)
def test_a_csv_has_labels_in_a_column_ordered_by_index_where_there_is_one(tmp_path: Path, content: bytes) -> None:
    assert labels_of(tmp_path, content, "labels.csv") == ("cat", "dog")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"name\ncat\n", "name"),
        (b"index,label\n1,cat\n2,dog\n", "index"),
        (b"index,label\n0,cat\n0,dog\n", "index"),
        (b"index,label\nzero,cat\n", "index"),
        (b"label,index\ncat\n", "index"),
        (b"index,label\n0\n1,dog\n", "label"),
        (b"label\n" + b"x" * 200_000, "labels.csv"),
        (b"label\n\xff\xfe\n", "UTF-8"),
        (b"", "label"),
        (b"label\n", "labels.csv"),
    ],
    ids=["no column", "from 1", "twice", "words", "no index", "no label", "too long", "not UTF-8", "empty", "no rows"],
)
def test_a_csv_that_is_no_list_of_labels_is_refused_by_name(tmp_path: Path, content: bytes, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        labels_of(tmp_path, content, "labels.csv")

    assert "labels.csv" in str(refused.value)
    assert named in str(refused.value)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text('label,index\n\r"0123;', max_size=60))
@settings(deadline=None, max_examples=60)
def test_any_text_is_labels_or_refused_by_name(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    for content in (text, "label," + text, "index,label\n" + text):
        with right_or_refused("labels.csv"):
            assert all(
                isinstance(label, str)
                for label in labels_of(tmp_path_factory.mktemp("labels"), content.encode(), "labels.csv")
            )


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
def test_a_labels_file_without_labels_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match=r"synset\.txt"):
        labels_of(tmp_path, content, "synset.txt")


# ---- what tells two models apart ----


def test_the_digest_of_a_bundle_changes_with_whatever_could_change_a_prediction(tmp_path: Path) -> None:
    def found(name: str, files: dict[str, bytes] = FILES, spec: str = SPEC) -> str:
        return fetched(tmp_path, path=str(folder_with(tmp_path / name, files, spec))).digest

    same = {found("one"), found("two"), found("three", spec=SPEC + "name: renamed\n")}
    others = {
        found("files", {**FILES, "net-0000.params": b"other"}),
        found("labels", {**FILES, "synset.txt": b"cat\nbird\n"}),
        found("pixels", spec=SPEC + "preprocess: {scale: 0.5}\n"),
        found("size", spec=SPEC + "input: {height: 32}\n"),
        found("output", spec=SPEC + "output: {kind: logits}\n"),
    }

    assert len(same) == 1
    assert len(others | same) == 6


# ---- packed ----


def test_a_packed_bundle_holds_the_files_and_their_digests(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model")
    spec = ModelSpec(name="mine", preprocess=Preprocessing(channels="BGR"), output=ModelOutput(kind="logits"))
    source = BundleSource(
        spec, {"symbol": str(folder / "net-symbol.json"), "params": str(folder / "net-0000.params")}, {}
    )

    bundle.pack(source, tmp_path / "cache", ACCESS, tmp_path / "packed")
    found = fetched(tmp_path, path=str(tmp_path / "packed"))

    assert content_of(found) == {role: WHOLE[role] for role in ("symbol", "params")}
    assert found.spec.preprocess.channels == "BGR"
    assert found.spec.params is not None
    assert found.spec.params.sha256 == digest(WHOLE["params"])
    (tmp_path / "packed" / "net-0000.params").write_bytes(b"damaged")
    assert "net-0000.params" in refusal(tmp_path, path=str(tmp_path / "packed"))


def test_files_of_the_same_name_in_different_places_are_packed_beside_each_other(tmp_path: Path) -> None:
    for role in ("symbol", "params"):
        folder_with(tmp_path / role, {"net": WHOLE[role]}, None)
    source = BundleSource(ModelSpec(), {role: str(tmp_path / role / "net") for role in ("symbol", "params")}, {})

    with right_or_refused("net"):
        bundle.pack(source, tmp_path / "cache", ACCESS, tmp_path / "packed")
        assert content_of(fetched(tmp_path, path=str(tmp_path / "packed")))["params"] == WHOLE["params"]
