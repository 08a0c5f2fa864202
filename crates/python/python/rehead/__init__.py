"""Rehead gives a ResNet that knows ImageNet a new head for your own labelled photos, on any GPU or on none.

:class:`Extractor` turns photos into features, :func:`train` makes a run of labelled photos, :func:`load_run` opens one to predict with, :class:`Head` judges rows of
features. :mod:`rehead.sklearn` fits scikit-learn's pipelines; :func:`features` writes one shard of a job, :mod:`rehead.ray` all of them over a cluster,
:mod:`rehead.daft` takes data frames.
"""

from rehead._errors import DeviceError, Error, InputError, IoError, UsageError
from rehead._extractor import Extractor
from rehead._options import Engine, Options
from rehead._photos import Photo
from rehead._runs import Head, Predictions, Run, load_run, train
from rehead._shards import Statistics, features

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
    "Statistics",
    "UsageError",
    "features",
    "load_run",
    "train",
]
