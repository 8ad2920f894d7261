"""A worker's shard of a real store's images, in this process and without Spark.

That a bucket which gives none of its images ends the run: tests/faults/test_hopeless.py.
"""

from contextlib import closing
from pathlib import Path

import pytest
from tests.storage.conftest import access_to
from tests.storage.scripted import an_object, answering, error

from mxspark.dataset import plan, predictions
from mxspark.dataset.plan import KeySpool
from mxspark.inference import bundle
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, Settings
from mxspark.storage import Access, FolderStore
from mxspark.worker.shard import Job, run_shard

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mxnet.*")

OPEN, CLOSED = [f"open/{number:04d}.png" for number in range(140)], [f"closed/{number:04d}.png" for number in range(60)]


def test_a_folder_that_may_not_be_read_among_others_is_rows(
    digits_images: Path, digits_bundle: Path, tmp_path: Path
) -> None:
    image = (digits_images / "0007_7.png").read_bytes()
    settings = Settings(
        input=InputSettings(path="s3://bucket/"),
        output=OutputSettings(path=str(tmp_path / "table")),
        model=ModelSettings(path=str(digits_bundle)),
    )
    table = FolderStore(tmp_path / "table")
    with closing(KeySpool()) as spool:
        spool.fill(CLOSED + OPEN)
        frozen = plan.write(table, spool, len(CLOSED + OPEN), {}, {})
    source = bundle.find(settings.model, Access())

    with answering(
        lambda request: an_object(image) if "open/" in request.path else error(403, "AccessDenied")
    ) as server:
        report = run_shard(
            Job("run", settings, source, access_to(server.url), 20, str(tmp_path), frozen.id, frozen.samples), 0, 0
        )

    assert report.counts.by_status == {"ok": len(OPEN), "denied": len(CLOSED)}
    rows = {row.key: row for row in predictions.read_rows(table, 0, "parquet")}
    told = ("denied", "access denied (AccessDenied: told by the test). Give these credentials the right to do this.")
    assert {key: (rows[key].status, rows[key].error) for key in CLOSED} == dict.fromkeys(CLOSED, told)
    assert {rows[key].status for key in OPEN} == {"ok"}
