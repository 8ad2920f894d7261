"""What is told of a job that runs elsewhere, kept for tests."""


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def log(self, line: str) -> None:
        self.lines.append(line)
