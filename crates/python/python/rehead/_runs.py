"""Heads, and the runs that keep them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as File
from typing import Any, Literal, NamedTuple, Unpack

import numpy as np
import numpy.typing as npt

from rehead import _native
from rehead._options import Engine, Options, Path, dumps, options
from rehead._photos import Errors, Photo, buffers, check


class Predictions(NamedTuple):
    """What is said of photos, or of rows of features, row by row."""

    labels: list[str | None]
    """The most probable class; None where a photo can't be read."""
    probabilities: npt.NDArray[np.float64]
    """`float64[rows, classes]`; NaN where a photo can't be read."""
    known: list[bool | None]
    """Whether a photo is like those that were learnt from; None where that can't be told, and for rows of features."""
    sets: list[list[str] | None]
    """The classes among which the true one is as often as `coverage` says; None where that wasn't asked."""
    errors: list[str | None]
    """Why a photo can't be read; None where it was."""
    named: list[list[str] | None]
    """All classes that a photo is of, none or several, where the head was trained on photos of several labels; None where each is of exactly one."""


class Head:
    """A dense layer from features to classes: `features @ weight.T + bias`.

    Args:
        weight: `float32[classes, features]`.
        bias: `float32[classes]`.
        classes: the labels, in the order of the outputs.
        thresholds: `float64[classes]`, from which probability on a row counts as of a class, where it may be of several: probabilities are sigmoids then, each
            by itself. None where a row is of exactly one class.
    """

    def __init__(
        self,
        weight: npt.ArrayLike,
        bias: npt.ArrayLike,
        classes: Sequence[str],
        thresholds: npt.ArrayLike | None = None,
    ) -> None:
        self.weight = np.ascontiguousarray(weight, np.float32)
        self.bias = np.ascontiguousarray(bias, np.float32)
        self.classes = list(classes)
        self.thresholds = None if thresholds is None else np.ascontiguousarray(thresholds, np.float64)
        if self.weight.shape[:1] != (len(self.classes),) or self.bias.shape != (len(self.classes),):
            raise ValueError(f"{len(self.classes)} classes, weights {self.weight.shape}, biases {self.bias.shape}")
        if self.thresholds is not None and self.thresholds.shape != self.bias.shape:
            raise ValueError(f"{len(self.classes)} classes, thresholds {self.thresholds.shape}")

    def logits(self, features: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Computes the logits of rows of features, each sum in 64 bits: `float32[rows, classes]`."""
        return self._said(features)[0]

    def predict(self, features: npt.ArrayLike) -> Predictions:
        """Says what rows of features, `float32[rows, features]`, are of.

        Raises:
            InputError: the rows aren't as wide as the head takes them.
        """
        probabilities = self._said(features)[1]
        count = len(probabilities)
        labels: list[str | None] = [self.classes[place] for place in probabilities.argmax(axis=1)]
        named: list[list[str] | None] = [None] * count
        if self.thresholds is not None:
            named = [
                [label for label, is_of in zip(self.classes, row, strict=True) if is_of]
                for row in probabilities >= self.thresholds
            ]
        return Predictions(labels, probabilities, [None] * count, [None] * count, [None] * count, named)

    def _said(self, features: npt.ArrayLike) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        rows = np.ascontiguousarray(features, np.float32)
        logits, probabilities = _native.logits(self.weight, self.bias, rows, self.thresholds is not None)
        shape = (len(rows), len(self.classes))
        return np.frombuffer(logits, np.float32).reshape(shape), np.frombuffer(probabilities, np.float64).reshape(shape)


class Run:
    """A finished run: the network with its new head, and how good it is. See :func:`load_run`."""

    def __init__(self, folder: Path, engine: Engine = "auto", batch: int | None = None, **more: Unpack[Options]) -> None:
        self._made_of = (os.fspath(folder), engine, batch, more)
        self._native = _native.Run(os.fspath(folder), dumps(options(engine, batch, more)))
        self.folder = File(folder)
        """Its folder, with the report."""
        self.classes = self._native.classes
        """The labels, in the order of the head's outputs."""
        config = self._native.config
        self.config: dict[str, Any] | None = None if config is None else json.loads(config)
        """How it was made, as `config.json` says."""

    @property
    def metrics(self) -> dict[str, Any]:
        """How good it is, as `metrics.json` says; docs/json.md has every field."""
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    @property
    def head(self) -> Head:
        """Its head, for features that an extractor computed, or another program."""
        weight, bias, thresholds = self._native.weights()
        weights = np.frombuffer(weight, np.float32).reshape(len(self.classes), -1)
        return Head(weights, np.frombuffer(bias, np.float32), self.classes, thresholds)

    def predict(
        self, images: Iterable[Photo] | Any, errors: Errors = "raise", coverage: float | None = None
    ) -> Predictions:
        """Says what is on photos. The device is opened by the first call.

        Args:
            images: as :meth:`Extractor.embed` takes them.
            errors: `raise` for an exception where a photo can't be read; `row` for a row without figures, and the reason beside it.
            coverage: how often the true class is to be among those of :attr:`Predictions.sets`.

        Raises:
            InputError: a photo can't be read (`errors="raise"`); the run was made of features.
        """
        said = self._native.predict(buffers(images), coverage)
        probabilities, labels, named, known, sets, reasons = said
        check(reasons, errors)
        return Predictions(
            [None if place is None else self.classes[place] for place in labels],
            np.frombuffer(probabilities, np.float64).reshape(len(reasons), len(self.classes)),
            known,
            self._labels(sets),
            reasons,
            self._labels(named),
        )

    def _labels(self, sets: list[list[int] | None]) -> list[list[str] | None]:
        return [None if places is None else [self.classes[place] for place in places] for places in sets]

    def __reduce__(self) -> tuple[Any, ...]:
        return _run, self._made_of

    def __repr__(self) -> str:
        return f"Run({self._made_of[0]!r}, {len(self.classes)} classes)"


def _run(folder: str, engine: Engine, batch: int | None, more: Options) -> Run:
    return Run(folder, engine, batch, **more)


def load_run(folder: Path, engine: Engine = "auto", batch: int | None = None, **more: Unpack[Options]) -> Run:
    """Opens a finished run, that of :func:`train` or of `trainer train`, to predict with.

    Raises:
        InputError: the folder holds no run, or a damaged one.

    Example:
        >>> load_run("run").predict(["new.jpg"]).labels
        ['sunflower']
    """
    return Run(folder, engine, batch, **more)


def train(
    data: Path,
    *,
    out: Path,
    backbone: Path | Sequence[Path] = "resnet18",
    force: bool = False,
    columns: Mapping[str, str] | None = None,
    class_order: Literal["bytes", "natural"] = "bytes",
    within_error: bool = False,
    views: str = "plain",
    baselines: bool = False,
    test: float | None = None,
    group_by: str | None = None,
    duplicates: Literal["together", "apart"] = "together",
    method: Literal["logistic", "prototype", "covariance"] | None = None,
    l2: float | None = None,
    scaling: Literal["each", "common"] | None = None,
    folds: int = 5,
    choice: Literal["best", "one-standard-error"] = "best",
    label_smoothing: float = 0.0,
    class_weights: Literal["none", "balanced", "effective", "adjusted"] = "none",
    seed: int = 0,
    engine: Engine = "auto",
    batch: int | None = None,
    **more: Unpack[Options],
) -> Run:
    """Trains a new head on labelled photos, judges it, and writes the run; `trainer train` does the same.

    Args:
        data: a folder with a folder of photos for each class, a table (CSV, JSON Lines, Parquet) or an archive (tar, zip).
        out: the folder to write the run into.
        backbone: as :class:`Extractor` takes it; of several the one with the lowest log loss by cross-validation is kept.
        force: replace a finished run there.
        columns: which columns of a table hold what, where they haven't their usual names: `{"label": "species"}`.
        class_order: the order of the classes: by bytes, or `cat2` before `cat10`.
        within_error: of several backbones keep the cheapest that is within a standard error of the best.
        views: `flip`, `crops` or `flip,crops`: views to learn from besides each photo as it is.
        baselines: also judge heads on a network that has learnt nothing and on the photos' colours, to compare with.
        test: the share of each class that judges the result; 0.2, or 0 where cross-validation judges, unless it is given.
        group_by: a column or a regular expression: photos of one group play one part.
        duplicates: whether photos that are nearly the same play one part.
        method: how the head comes about; the best by cross-validation where photos are few, else softmax regression.
        l2: the pull of the weights towards zero; the best by cross-validation unless it is given.
        scaling: what that pull weighs features by; the better by cross-validation unless it is given.
        folds: parts of cross-validation.
        choice: which pull is chosen: the best, or the strongest that is within a standard error as good.
        label_smoothing: the share of the target that is spread over all classes.
        class_weights: what a photo counts.
        seed: another seed, another split.
        engine: what computes.
        batch: photos at once, at most.
        more: see :class:`Options`. Here features are kept in the user's cache folder unless `store` says otherwise.

    Raises:
        UsageError: an argument is out of range, or a finished run is there already.
        InputError: the photos or the weights can't be used.
        DeviceError: the device failed.
        KeyboardInterrupt: what was computed until then is kept in the store.
    """
    backbones = [backbone] if isinstance(backbone, (str, os.PathLike)) else list(backbone)
    usual: Options = {"store": True}
    usual.update(more)
    settings = {
        "method": method,
        "l2": l2,
        "scaling": scaling,
        "folds": folds,
        "choice": choice,
        "label_smoothing": label_smoothing,
        "class_weights": class_weights,
    }
    asked = {
        "data": {"path": data, "columns": dict(columns or {}), "class_order": class_order},
        "backbones": backbones,
        "within_error": within_error,
        "views": views,
        "baselines": baselines,
        "out": out,
        "force": force,
        "test": test,
        "group_by": group_by,
        "duplicates": duplicates,
        "seed": seed,
        "settings": settings,
        "options": options(engine, batch, usual),
    }
    _native.train(dumps(asked))
    return Run(out, engine, batch, **more)
