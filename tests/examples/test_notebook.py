"""The notebook runs from its beginning to its end, as somebody runs it who opens it."""

import json
from pathlib import Path

from tests.command import REPOSITORY, Command

NOTEBOOK = REPOSITORY / "examples" / "notebook.ipynb"


def outputs(notebook: Path) -> str:
    """All that its cells put out."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    return json.dumps([output for cell in cells for output in cell["outputs"]])


def test_it_says_what_the_one_in_the_repository_says(mxspark: Command, tmp_path: Path) -> None:
    mxspark.run("jupyter", "execute", NOTEBOOK, "--output", tmp_path / "executed").succeeded()
    for words in ("'ok': 14", "espresso", "tripod", "not_an_image", "Predicting 14 images in 1 shard"):
        assert words in outputs(tmp_path / "executed.ipynb")
        assert words in outputs(NOTEBOOK)
    assert "\\u001b" not in outputs(NOTEBOOK), "progress is plain lines"
