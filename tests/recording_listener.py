"""What is told of a job that runs elsewhere, kept for tests."""

from mxspark.run.last_word import Results
from mxspark.run.progress import Progress


class Heard:
    """A listener that remembers. `told` is how far the job was, and what it had to show."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.told: list[Progress | Results] = []
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def results(self, found: Results) -> None:
        self.told.append(found)
