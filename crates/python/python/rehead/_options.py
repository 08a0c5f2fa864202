"""How work is done: arguments as the native half reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

Engine = Literal["auto", "gpu", "cpu"]
"""What computes: a graphics card, the CPU, or the former where there is one and else the latter."""

Path = str | os.PathLike[str]


class Options(TypedDict, total=False):
    """How photos are read and features computed, where the usual way isn't wanted."""

    adapter: str
    """A part of the adapter's name, or its number; `all` shares the photos among all that there are."""
    precision: Literal["f32", "f16"]
    """How weights and activations are stored: 16 bits take half the memory, on graphics cards, and move features by about 0.1 %."""
    store: bool | Path
    """Where features are kept, so that no photo passes through a backbone twice: False for nowhere, True for the user's cache folder, which the command
    line shares, or a folder."""
    recipe: Mapping[str, Any]
    """Resize, crop and normalisation (ours, timm's or transformers' JSON) in place of the weights' own."""
    exif: Literal["apply", "ignore"]
    """Whether photos are turned as the camera noted."""
    background: str
    """The colour behind transparent parts, `white`, `black` or `#rrggbb`, or `drop` for the colours stored there."""


def options(engine: Engine, batch: int | None, more: Options) -> dict[str, Any]:
    """Makes the options that the native half reads."""
    known: dict[str, Any] = dict(more)
    unknown = known.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"{sorted(unknown)[0]!r} is no option; there are {', '.join(Options.__annotations__)}")
    precision = known.pop("precision", "f32")
    if precision not in ("f32", "f16"):
        raise ValueError(f'precision={precision!r}: expected "f32" or "f16"')
    return {**known, "engine": engine, "batch": batch, "half": precision == "f16"}


def dumps(value: Any) -> str:
    """Writes JSON, paths as text."""
    return json.dumps(value, default=os.fspath)
