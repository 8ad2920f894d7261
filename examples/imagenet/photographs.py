"""The photographs among scikit-image's and scikit-learn's sample images; README.md says whose they are."""

from pathlib import Path

from examples.archives import read

# Left out: drawings, text, test patterns, mere textures, and images from microscopes and clinics.
MEMBERS = {
    "scikit-image": (
        "skimage/data/astronaut.png",
        "skimage/data/brick.png",
        "skimage/data/camera.png",
        "skimage/data/chelsea.png",
        "skimage/data/clock_motion.png",
        "skimage/data/coffee.png",
        "skimage/data/coins.png",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/moon.png",
        "skimage/data/motorcycle_left.png",
        "skimage/data/motorcycle_right.png",
        "skimage/data/rocket.jpg",
    ),
    "scikit-learn": (
        "sklearn/datasets/images/china.jpg",
        "sklearn/datasets/images/flower.jpg",
    ),
}
NAMES = tuple(Path(member).name for members in MEMBERS.values() for member in members)


def extract(archives: dict[str, Path], folder: Path) -> None:
    """Write the photographs into `folder`, byte for byte; other files there are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, members in MEMBERS.items():
        for member in members:
            (folder / Path(member).name).write_bytes(read(archives[package], member))
