"""The names of ImageNet's 1,000 classes, in the network's order, from timm's tables."""

from pathlib import Path

from examples.archives import read

PACKAGE = "timm"
FOLDER = "timm/data/_info"


def synset_lines(timm: Path) -> list[str]:
    """One line per class, `n02123159 tiger cat`: WordNet's synset and lemmas, as the classic synset.txt has them."""
    lemmas = dict(line.split("\t") for line in _lines(timm, "imagenet_synset_to_lemma.txt"))
    return [f"{synset} {lemmas[synset]}" for synset in _lines(timm, "imagenet_synsets.txt")]


def _lines(timm: Path, name: str) -> list[str]:
    return read(timm, f"{FOLDER}/{name}").decode().splitlines()
