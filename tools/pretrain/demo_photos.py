"""Choose the photos of the demo out of TrashNet's and write them, small, into the trainer's assets.

    python tools/pretrain/demo_photos.py TRASHNET

TRASHNET is a folder of TrashNet's photos, a folder for each class (https://github.com/garythung/trashnet, MIT).

TrashNet shows many an object several times. A photo is left out where its number is next to a chosen one's (series
have neighbouring numbers) or its colours are nearly a chosen one's of any class. What is left is still not one photo an
object, which the demo says. `trash`, a mixed bag of 137 photos that are like the other classes', is left out.

Writes beside this file `demo_photos.txt`, SHA-256 and path of each chosen photo as `sha256sum -c` reads them, which
pretraining leaves out; and `crates/trainer/assets/demo/{photos,new}/CLASS/NAME.jpg`. The same folder and the same
Pillow give the same bytes.
"""

import argparse
import hashlib
import pathlib
import random

import numpy
from PIL import Image

HERE = pathlib.Path(__file__).parent
ASSETS = HERE.parents[1] / "crates" / "trainer" / "assets" / "demo"
CLASSES = ["cardboard", "glass", "metal", "paper", "plastic"]
SEED = 0
# A class: to train with and judge by, and to be asked about afterwards.
PHOTOS, NEW = 58, 2
# Photos of a class whose numbers differ by no more are taken for one series.
NEIGHBOURS = 2
# Cosine of square roots of two colour histograms, from which on they are taken for one object in one light.
ALIKE = 0.95
SIDE, QUALITY = 160, 80


def number(path):
    return int("".join(filter(str.isdigit, path.stem)))


def colours(path):
    """Square roots of the shares of 8 x 8 x 8 colours, a vector of length 1."""
    with Image.open(path) as photo:
        pixels = numpy.asarray(photo.convert("RGB")).reshape(-1, 3) // 32
    counts = numpy.bincount(pixels @ numpy.array([64, 8, 1]), minlength=512)
    return numpy.sqrt(counts / counts.sum())


def choose(root):
    """The chosen photos of each class, in the order in which chance drew them."""
    seen, chosen = [], {}
    for name in CLASSES:
        photos = sorted((root / name).glob("*.jpg"), key=number)
        random.Random(f"{SEED} {name}").shuffle(photos)
        numbers, taken = set(), []
        for photo in photos:
            if len(taken) == PHOTOS + NEW:
                break
            if any(abs(number(photo) - other) <= NEIGHBOURS for other in numbers):
                continue
            vector = colours(photo)
            if seen and (numpy.stack(seen) @ vector).max() > ALIKE:
                continue
            seen.append(vector)
            numbers.add(number(photo))
            taken.append(photo)
        if len(taken) < PHOTOS + NEW:
            raise SystemExit(f"only {len(taken)} photos of {name} differ enough")
        chosen[name] = taken
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trashnet", type=pathlib.Path)
    root = parser.parse_args().trashnet
    chosen = choose(root)
    paths = sorted(photo for photos in chosen.values() for photo in photos)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in paths]
    (HERE / "demo_photos.txt").write_text("".join(lines))

    total = 0
    for name, photos in chosen.items():
        for part, of_part in [("photos", photos[:PHOTOS]), ("new", photos[PHOTOS:])]:
            folder = ASSETS / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("*.jpg"):
                old.unlink()
            for photo in of_part:
                with Image.open(photo) as image:
                    image = image.convert("RGB")
                scale = SIDE / min(image.size)
                small = image.resize([round(length * scale) for length in image.size], Image.Resampling.LANCZOS)
                to = folder / f"{number(photo)}.jpg"
                small.save(to, quality=QUALITY, optimize=True)
                total += to.stat().st_size
    print(f"{len(paths)} photos, {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
