"""What a run came to, for whoever called it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mxspark.run.last_word import Results


@dataclass(frozen=True)
class Summary:
    """A run that ended: the whole table, and what this run did of it."""

    output: str  # the folder or s3:// prefix: what `mxspark.read` takes
    rows: int  # one an image
    ok: int
    failed: int
    by_status: Mapping[str, int]
    skipped: Mapping[str, int]  # files of the input that were left out, by suffix
    accuracy: float | None  # where input.true_label finds the true labels [0 to 1]
    accuracy_top_k: float | None
    precision: str  # how the network's precision compares with fp32, in words; empty where it is fp32
    images: int  # that this run predicted: fewer than `rows` where it resumed another
    seconds: float  # from when workers were asked for to the last image
    images_per_second: float  # once the workers had started; 0 where an earlier run had done all

    @classmethod
    def of(cls, output: str, results: Results) -> Self:
        """From what the driver has to show."""
        counts, performance = results.counts, results.performance
        return cls(
            output=output,
            rows=counts.rows,
            ok=counts.ok,
            failed=counts.failed,
            by_status=dict(sorted(counts.by_status.items())),
            skipped=dict(results.skipped),
            accuracy=counts.correct / counts.labelled if counts.labelled else None,
            accuracy_top_k=counts.correct_top_k / counts.labelled if counts.labelled else None,
            precision=results.precision,
            images=performance.images if performance else 0,
            seconds=performance.seconds if performance else 0.0,
            images_per_second=performance.rate if performance else 0.0,
        )
