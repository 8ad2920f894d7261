"""Text as a person reads it."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 image`, `1,797 images`: the number with its noun, whose plural takes an s unless it is given."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def printable(text: str) -> str:
    """The text with line ends and other control characters escaped, so that it stays on its line and leaves terminals alone."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
