"""Linear probe: how well photos' classes can be read off features, by logistic regression.

    python tools/pretrain/probe.py --trashnet TRASHNET --plants PLANTS NAME=SOURCE...

prints a row of Markdown a SOURCE, which is one of

    a name, file or folder   of a backbone, as `trainer embed --backbone` takes it
    random:FILE              the network of a safetensors file, with weights drawn by He's rule
    histogram                joint histogram of 8 x 8 x 8 colours, square roots of the shares
    a folder                 with trashnet.npy and plants.npy, [photos, features], and beside each a .txt with a path a line

TRASHNET and PLANTS hold a folder for each class. Of the first the 300 photos in `demo_photos.txt` are taken, 5 x 60; of the
second 37 a class, drawn by a seed. Accuracy is the mean over all photos, each judged by a regression that learnt from the
other folds: 5 stratified folds, dealt five times; mean and deviation over the deals. Features are standardised, and the
strength C is chosen among five by 5-fold cross-validation, both within what is learnt from.
"""

import argparse
import json
import os
import pathlib
import random
import shlex
import subprocess
import tempfile
import warnings

# Read when numpy is loaded: products are small here, and threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy
from safetensors.numpy import load_file, save_file
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from demo_photos import CLASSES, HERE, colours

OF_PLANTS = 37
SEEDS, FOLDS = 5, 5
STRENGTHS = numpy.logspace(-4, 0, 5)


def trashnet(root):
    lines = (HERE / "demo_photos.txt").read_text().splitlines()
    paths = [root / line.split("  ", 1)[1] for line in lines]
    assert {path.parent.name for path in paths} == set(CLASSES)
    return paths


def plants(root):
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    return [path for folder in folders for path in random.Random(0).sample(sorted(folder.iterdir()), OF_PLANTS)]


def embedded(paths, backbone, trainer):
    """Rows of `trainer embed`, in the order of the paths."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for path in paths:
            link = folder / "photos" / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
        out = folder / "out.npy"
        embed = ["embed", folder / "photos", "--backbone", backbone, "--out", out, "--no-store", "--quiet"]
        subprocess.run([*shlex.split(trainer), *embed], check=True, stdout=subprocess.DEVNULL)
        return read(out, paths)


def read(array, paths):
    """Rows of a .npy file by the names in the .txt file beside it, in the order of the paths."""
    rows, names = numpy.load(array), array.with_suffix(".txt").read_text().splitlines()
    by_name = {"/".join(pathlib.PurePath(name).parts[-2:]): row for name, row in zip(names, rows, strict=True)}
    return numpy.stack([by_name[f"{path.parent.name}/{path.name}"] for path in paths])


def drawn(file, folder):
    """Writes weights that have learnt nothing, as the trainer's `random_weights` draws them, and the recipe beside."""
    generator = numpy.random.default_rng(0)
    tensors = load_file(file)
    for name, tensor in tensors.items():
        kind = name.rsplit(".", 1)[-1]
        if tensor.ndim > 1:
            fan_in = tensor[0].size
            tensors[name] = (generator.standard_normal(tensor.shape) * (2 / fan_in) ** 0.5).astype(numpy.float32)
        else:
            # The last BatchNorm of a BasicBlock.
            value = 0.5 if name.endswith("bn2.weight") else float(kind in ("weight", "running_var"))
            tensors[name] = numpy.full(tensor.shape, value, numpy.float32)
    save_file(tensors, folder / "model.safetensors")
    config = file.with_name("config.json")
    if config.is_file():
        (folder / "config.json").write_bytes(config.read_bytes())
    return folder


def features(source, name, paths, trainer):
    if source == "histogram":
        return numpy.stack([colours(path) for path in paths])
    if source.startswith("random:"):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(source.removeprefix("random:"))
            return embedded(paths, drawn(file, pathlib.Path(folder)), trainer)
    array = pathlib.Path(source) / f"{name}.npy"
    return read(array, paths) if array.is_file() else embedded(paths, source, trainer)


def probe(rows, labels):
    """Accuracy of each deal of the folds."""
    inner = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-3, max_iter=300))
    search = GridSearchCV(model, {"logisticregression__C": STRENGTHS}, cv=inner)
    with warnings.catch_warnings():
        # Where the pull is weakest the end is far, and worth nothing.
        warnings.simplefilter("ignore", ConvergenceWarning)
        deals = [StratifiedKFold(FOLDS, shuffle=True, random_state=seed) for seed in range(SEEDS)]
        return [cross_val_score(search, rows, labels, cv=deal).mean() for deal in deals]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trashnet", type=pathlib.Path, required=True)
    parser.add_argument("--plants", type=pathlib.Path, required=True)
    parser.add_argument("--trainer", default="cargo run --quiet -p trainer --", help="how to call the trainer")
    parser.add_argument("--json", type=pathlib.Path, help="also append each deal's accuracy to this file, a line a row")
    parser.add_argument("sources", nargs="+", metavar="NAME=SOURCE")
    args = parser.parse_args()
    sets = {"trashnet": trashnet(args.trashnet), "plants": plants(args.plants)}
    print("| features | width | " + " | ".join(f"{name} 5 x {len(paths) // 5}" for name, paths in sets.items()) + " |")
    print("|---|---|" + "---|" * len(sets), flush=True)
    for called, source in (text.split("=", 1) for text in args.sources):
        cells, found = [], {"features": called}
        for name, paths in sets.items():
            rows = features(source, name, paths, args.trainer)
            scores = probe(rows, [path.parent.name for path in paths])
            found |= {"width": rows.shape[1], name: scores}
            cells.append(f"{100 * numpy.mean(scores):.1f} ± {100 * numpy.std(scores, ddof=1):.1f} %")
        print(f"| {called} | {found['width']} | " + " | ".join(cells) + " |", flush=True)
        if args.json:
            with args.json.open("a") as file:
                file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
