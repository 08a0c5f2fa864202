"""Rehead in scikit-learn's pipelines: photos to features, and features to classes.

>>> from sklearn.pipeline import make_pipeline
>>> model = make_pipeline(Features("resnet18"), HeadClassifier())
>>> model.fit(paths, labels).predict(["new.jpg"])
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from rehead import _native
from rehead._extractor import Extractor
from rehead._options import Engine, dumps, options
from rehead._runs import Head


class Features(TransformerMixin, BaseEstimator):
    """Turns photos into features by a frozen ResNet. There is nothing to fit.

    Args:
        weights: as :class:`rehead.Extractor` takes them.
        engine: what computes.
        batch: photos at once, at most.
        options: see :class:`rehead.Options`; `{"store": True}` keeps features, so that a grid search computes each photo's once.
    """

    def __init__(
        self,
        weights: str = "resnet18",
        engine: Engine = "auto",
        batch: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.weights = weights
        self.engine = engine
        self.batch = batch
        self.options = options

    def fit(self, X: Any, y: Any = None) -> Features:
        """Opens the backbone."""
        self.extractor_ = Extractor(self.weights, self.engine, self.batch, **(self.options or {}))
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Computes the features of photos: contents of files, or paths, as :meth:`rehead.Extractor.embed` takes them."""
        check_is_fitted(self)
        return self.extractor_.embed(X)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Names the features: `features0`, `features1` and so on."""
        check_is_fitted(self)
        return np.array([f"features{place}" for place in range(self.extractor_.width)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags


class HeadClassifier(ClassifierMixin, BaseEstimator):
    """The head that `trainer train` finds, on rows of features: the optimum of L2-regularised softmax regression, with its certificate.

    It minimises `C · Σ w · (−ln p(class)) + Σ u² / 2` as :class:`sklearn.linear_model.LogisticRegression` does, u being the weights on features divided by their
    scales, and w what rows count.

    Args:
        C: how much is believed of the rows, as scikit-learn has it; None for the best of a grid by cross-validation.
        method: `logistic`; or `prototype` and `covariance`, heads in closed form for few rows; None for the best by cross-validation where rows are few, else
            `logistic`.
        scaling: what features are divided by before the pull is taken: `each` by its own deviation, or all by a `common` one; None for the better by cross-validation.
        cv: parts of cross-validation, from 3 on.
        choice: which C is chosen: the `best`, or the smallest that is within `one-standard-error` as good.
        class_weight: `balanced` for classes that count the same, or what a row of each class counts.
        engine: what computes.
        random_state: how the parts of cross-validation are dealt.

    Attributes:
        classes_: the classes.
        head_: the :class:`rehead.Head`.
        coef_: `float32[classes, features]`; of two classes too there are two rows.
        intercept_: `float32[classes]`.
        C_: what C is, given or chosen; None where the head is in closed form.
        certificate_: how near the head is to the optimum: the gradient, its share of that at zero, and what was minimised.
        cross_validation_: what was tried, and which was chosen; None where nothing was.
    """

    def __init__(
        self,
        C: float | None = None,
        *,
        method: Literal["logistic", "prototype", "covariance"] | None = None,
        scaling: Literal["each", "common"] | None = None,
        cv: int = 5,
        choice: Literal["best", "one-standard-error"] = "best",
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        engine: Engine = "auto",
        random_state: int = 0,
    ) -> None:
        self.C = C
        self.method = method
        self.scaling = scaling
        self.cv = cv
        self.choice = choice
        self.class_weight = class_weight
        self.engine = engine
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> HeadClassifier:
        """Finds the head.

        Args:
            X: `float32[rows, features]`.
            y: the class of each row.
            sample_weight: what each row counts.

        Raises:
            UsageError: an argument is out of range.
            InputError: features aren't finite.
        """
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, places = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"there is one class, {self.classes_[0]!r}, and nothing to tell apart")
        of_class = self.class_weight if isinstance(self.class_weight, Mapping) else None
        if of_class is None and self.class_weight not in (None, "balanced"):
            raise ValueError(f'class_weight={self.class_weight!r}: expected None, "balanced" or a dictionary')
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if of_class is not None:
            each = np.array([of_class.get(name, 1.0) for name in self.classes_.tolist()], np.float64)
            weights = each[places] * (1.0 if weights is None else weights)
        if self.C is not None and not self.C > 0:
            raise ValueError(f"C={self.C}: expected more than 0")
        counted = np.ones(len(X)) if weights is None else weights
        if self.class_weight == "balanced":
            counted = counted * (len(X) / len(self.classes_) / np.bincount(places))[places]
        total = float(counted.sum())
        settings = {
            "method": self.method,
            "l2": None if self.C is None else 1 / (self.C * total),
            "scaling": self.scaling,
            "folds": self.cv,
            "choice": self.choice,
            "label_smoothing": 0.0,
            "class_weights": "balanced" if self.class_weight == "balanced" else "none",
        }
        asked = {
            "settings": settings,
            "options": options(self.engine, None, {}),
            "classes": len(self.classes_),
        }
        labels: _native.Labels = {
            "classes": places.astype(np.int64),
            "folds": self._folds(places),
            "weights": weights,
        }
        weight, bias, told = _native.fit(np.ascontiguousarray(X), labels, dumps(asked))
        self.coef_ = np.frombuffer(weight, np.float32).reshape(len(self.classes_), -1)
        self.intercept_ = np.frombuffer(bias, np.float32)
        self.head_ = Head(self.coef_, self.intercept_, [str(name) for name in self.classes_])
        told = json.loads(told)
        self.certificate_ = told["certificate"]
        self.cross_validation_ = told["cross_validation"]
        l2 = self.certificate_.get("l2")
        self.C_ = None if l2 is None else 1 / (l2 * total)
        return self

    def _folds(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
        """Deals rows into folds, of each class evenly, where something is to be chosen by them and there are rows enough."""
        most = min(self.cv, int(np.bincount(places).max()))
        if (self.C is not None and self.scaling is not None) or most < 3:
            return None
        folds = np.zeros(len(places), np.int64)
        # Classes of fewer rows than folds leave some folds without.
        of_class = np.bincount(places)
        random = np.random.RandomState(self.random_state)
        for place in np.flatnonzero(of_class):
            rows = np.flatnonzero(places == place)
            folds[random.permutation(rows)] = (np.arange(len(rows)) + random.randint(most)) % most
        return folds

    def decision_function(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Computes logits, `float32[rows, classes]`; of two classes the second's less the first's, `float32[rows]`."""
        rows = self._rows(X)
        logits = self.head_.logits(rows)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Computes the probability of each class: `float64[rows, classes]`."""
        rows = self._rows(X)
        return self.head_.predict(rows).probabilities

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Picks the most probable class of each row."""
        places = self.predict_proba(X).argmax(axis=1)
        return self.classes_[places]

    def _rows(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float32, reset=False)
