"""A run that stands still at one image: what interrupts it comes in the middle, however fast or slow the machine is."""

import os
from dataclasses import dataclass
from pathlib import Path

# Python runs this at the start of every process that finds it: whoever opens the image stands still until it is
# released.
HOLD = """
import os, pathlib, sys, time

image, held, released = {image!r}, *map(pathlib.Path(__file__).with_name, ("held", "released"))

def hold(event, arguments):
    if event == "open" and str(arguments[0]).endswith(image) and not released.exists():
        held.touch()
        while not released.exists():
            time.sleep(0.1)

sys.addaudithook(hold)
"""


@dataclass(frozen=True)
class HeldImage:
    """`environment` is what makes a run stand still."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")])}

    def is_held(self) -> bool:
        """Whether the run has come to the image."""
        return (self.folder / "held").exists()

    def release(self) -> None:
        """Lets the run go on."""
        (self.folder / "released").touch()


def held_image(image: str, folder: Path) -> HeldImage:
    """A run with its environment stands still where it opens the image whose path ends so. The folder is for this
    alone, and its name doesn't end so.
    """
    (folder / "sitecustomize.py").write_text(HOLD.format(image=image))
    return HeldImage(folder)
