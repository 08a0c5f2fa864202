"""Rehead gives a ResNet that knows ImageNet a new head for your own labelled photos, on any GPU or on none.

:class:`Extractor` turns photos into features, :func:`train` makes a run of labelled photos, :func:`load_run` opens one to predict with, :class:`Head` judges rows of
features. :mod:`rehead.sklearn` fits scikit-learn's pipelines; :mod:`rehead.ray` spreads work over a cluster.
"""

from rehead._errors import DeviceError, Error, InputError, IoError, UsageError
from rehead._extractor import Extractor
from rehead._options import Engine, Options
from rehead._photos import Photo
from rehead._runs import Head, Predictions, Run, load_run, train

__all__ = [
    "DeviceError",
    "Engine",
    "Error",
    "Extractor",
    "Head",
    "InputError",
    "IoError",
    "Options",
    "Photo",
    "Predictions",
    "Run",
    "UsageError",
    "load_run",
    "train",
]
