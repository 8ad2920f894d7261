"""Which pyspark the Python workers import: the installed one where it is that which Spark's zip was packed from. And
what they find imported when they are forked."""

import gc
from pathlib import Path

import pytest

from mxspark.spark.worker_daemon import forks_mxnet, import_for_workers, without_zips


def installed(folder: Path) -> Path:
    """A folder of packages with pyspark, as pip lays it out, and py4j."""
    for package in ("pyspark", "py4j"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    (folder / "pyspark" / "python" / "lib").mkdir(parents=True)
    return folder


def zips(home: Path) -> list[str]:
    """What Spark of this home puts first on Python's path."""
    return [str(home / "python" / "lib" / name) for name in ("pyspark.zip", "py4j-0.10.9.9-src.zip")]


def test_the_installed_package_is_taken_for_its_zip(tmp_path: Path) -> None:
    packages = installed(tmp_path / "packages")
    assert without_zips([*zips(packages / "pyspark"), "/elsewhere", str(packages)]) == ["/elsewhere", str(packages)]


def test_a_home_of_links_is_that_of_the_package(tmp_path: Path) -> None:
    packages = installed(tmp_path / "packages")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "python").symlink_to(packages / "pyspark" / "python")
    assert without_zips([*zips(tmp_path / "home"), str(packages)]) == [str(packages)]


@pytest.mark.parametrize("others", [True, False], ids=["another Spark's", "nothing"])
def test_the_zip_stays_where_something_else_would_be_found(tmp_path: Path, others: bool) -> None:
    home = installed(tmp_path / "packages") / "pyspark"
    rest = [str(installed(tmp_path / "other"))] if others else [str(tmp_path)]
    assert without_zips([*zips(home), *rest]) == [*zips(home), *rest]


@pytest.mark.parametrize(
    ("package", "threads", "expected"),
    [("mxnet", "1", True), ("mxnet", "4", False), ("mxnet", None, False), ("mxnet-cu112", "1", False)],
)
def test_mxnet_is_forked_only_where_it_then_works_as_well(
    monkeypatch: pytest.MonkeyPatch, package: str, threads: str | None, expected: bool
) -> None:
    monkeypatch.setattr("mxspark.spark.worker_daemon.version", {package: "1.9.1"}.__getitem__)
    monkeypatch.setattr("mxspark.spark.worker_daemon.PackageNotFoundError", KeyError)
    assert forks_mxnet({"OMP_NUM_THREADS": threads} if threads else {}) is expected


def test_what_is_imported_for_workers_prints_nothing_to_spark_and_may_be_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talking_module.py").write_text("import os\nos.write(1, b'written')\nraise OSError\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("mxspark.spark.worker_daemon.MODULES", ("talking_module",))
    try:
        import_for_workers({})
    finally:
        gc.unfreeze()
    assert capfd.readouterr() == ("", "written")
