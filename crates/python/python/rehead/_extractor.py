"""Features of photos."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, Unpack, overload

import numpy as np
import numpy.typing as npt

from rehead import _native
from rehead._options import Engine, Options, Path, dumps, options
from rehead._photos import Errors, Photo, buffers, check


class Extractor:
    """A frozen ResNet that turns photos into rows of features, the same to the byte as `trainer embed` writes them.

    It stays open: the second call finds the network ready. It can be pickled, and opens again where it is unpickled. Threads may share it; processes that are
    forked may not (start them by `spawn` or `forkserver`).

    Args:
        weights: a name (`resnet18`, `timm/resnet50.a1_in1k`), which is downloaded once, or the path of a safetensors file or its folder.
        engine: what computes.
        batch: photos at once, at most; as suits the device where it isn't given.
        more: see :class:`Options`.

    Raises:
        Error: the weights can't be had or used, or the device fails.

    Example:
        >>> extractor = Extractor("resnet18")
        >>> extractor.embed([open("a.jpg", "rb").read(), "b.jpg"]).shape
        (2, 512)
    """

    def __init__(
        self, weights: Path = "resnet18", engine: Engine = "auto", batch: int | None = None, **more: Unpack[Options]
    ) -> None:
        self._made_of = (weights, engine, batch, more)
        self._native = _native.Embedder(str(weights), dumps(options(engine, batch, more)))

    @property
    def width(self) -> int:
        """How many features a photo has."""
        return self._native.width

    @property
    def engine(self) -> str:
        """What computes: `gpu` or `cpu`."""
        return self._native.engine

    @property
    def key(self) -> str:
        """What features depend on besides the photo, as 64 hexadecimal digits: under one key, features may lie in one table."""
        return self._native.key()[0]

    @property
    def key_parts(self) -> dict[str, Any]:
        """What :attr:`key` is made of: weights, precision, preparation."""
        return json.loads(self._native.key()[1])

    @overload
    def embed(self, images: Iterable[Photo] | Any, errors: Literal["raise"] = "raise") -> npt.NDArray[np.float32]: ...
    @overload
    def embed(
        self, images: Iterable[Photo] | Any, errors: Literal["row"]
    ) -> tuple[npt.NDArray[np.float32], list[str | None]]: ...
    def embed(self, images: Iterable[Photo] | Any, errors: Errors = "raise") -> Any:
        """Computes the features of photos. Other threads run meanwhile.

        Args:
            images: contents of photos' files, or paths, in any iterable; or an Arrow array of binary values.
            errors: `raise` for an exception where a photo can't be read; `row` for a row of NaN, and the reasons beside the features.

        Returns:
            `float32[photos, width]`; with `errors="row"` a pair of that and a list with the reason of each row, None where the photo was read.

        Raises:
            InputError: a photo can't be read (`errors="raise"`).
            DeviceError: the device failed, or has no memory even for one photo.
        """
        features, reasons = self._native.embed(buffers(images))
        check(reasons, errors)
        rows = np.frombuffer(features, np.float32).reshape(len(reasons), self.width)
        return rows if errors == "raise" else (rows, reasons)

    def __reduce__(self) -> tuple[Any, ...]:
        return _extractor, self._made_of

    def __repr__(self) -> str:
        weights, engine, batch, more = self._made_of
        told = {"engine": engine, "batch": batch, **more}
        return f"Extractor({str(weights)!r}, {', '.join(f'{name}={value!r}' for name, value in told.items())})"


def _extractor(weights: Path, engine: Engine, batch: int | None, more: Options) -> Extractor:
    return Extractor(weights, engine, batch, **more)
