"""`mxspark neighbours`."""

from typing import Annotated

import typer

from mxspark.cli import console
from mxspark.cli.app import EXIT_CODES, app, short_help
from mxspark.cli.flags import DebugFlag, EndpointFlag, access_by
from mxspark.settings.model_spec import VECTOR


@app.command("neighbours", short_help=short_help("neighbours"), epilog=EXIT_CODES)
def show_neighbours(
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="Where a run wrote vectors: a folder, or s3://bucket/prefix.")
    ],
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="The image whose neighbours are looked for.")],
    number: Annotated[int, typer.Option("-n", metavar="N", min=1, max=10_000, help="How many.")] = 10,
    column: Annotated[str, typer.Option("--column", metavar="NAME", help="The column of the vectors.")] = VECTOR,
    endpoint_url: EndpointFlag = None,
    _debug: DebugFlag = False,
) -> None:
    """Show which images have the most similar vectors, by the cosine of the angle between them; all are compared.

    It reads the whole table, a part at a time: a check that the vectors make sense. docs/vectors.md loads them into
    FAISS, pgvector and DuckDB.
    """
    from mxspark.run import neighbours

    found = neighbours.find(output, access_by(endpoint_url), key, number, column)
    console.show_neighbours(found.nearest)
    console.show(str(found))
