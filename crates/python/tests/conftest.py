"""What the tests share: photos that they draw, the demo's small backbone, and the command line beside which results are held."""

import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
BACKBONE = ROOT / "crates/trainer/assets/demo/model.safetensors"
COLOURS = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 50, 40)}


def drawn(colour, index, form="PNG", **more):
    """Draws a photo, and gives the content of its file; each index gives another one."""
    y, x = np.mgrid[: 60 + index % 7, :72]
    shade = (x * (index % 11 + 3) + y * (5 + index // 11)) % 60
    pixels = np.clip(np.array(colour) - shade[..., None], 0, 255).astype(np.uint8)
    pixels[index % 40, :, :] = index % 251
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **more)
    return file.getvalue()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keeps what the tests make out of the user's folders."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["REHEAD_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of 12 photos of each of three colours: JPEGs, one of them turned by the camera, and PNGs."""
    folder = tmp_path_factory.mktemp("world") / "photos"
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for index in range(12):
            if index % 2:
                exif = Image.Exif()
                exif[0x0112] = 6 if index == 3 else 1
                content = drawn(colour, index, "JPEG", quality=90, exif=exif)
            else:
                content = drawn(colour, index)
            ending = "jpg" if index % 2 else "png"
            (folder / name / f"{index:02}.{ending}").write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def paths(photos):
    """The photos' paths, in the order of their names."""
    return sorted(photos.glob("*/*"))


@pytest.fixture(scope="session")
def command():
    """Runs the command line, which tools/python has built."""

    def run(*line):
        environment = {**os.environ, "REHEAD_ENGINE": "cpu"}
        done = subprocess.run([os.environ["REHEAD_TRAINER"], *map(str, line)], env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run
