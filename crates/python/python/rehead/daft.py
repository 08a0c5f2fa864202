"""Features of photos in Daft's data frames.

>>> import daft
>>> from rehead.daft import Embed
>>> photos = daft.from_glob_path("photos/**/*.jpg").with_column("content", daft.functions.download(daft.col("path")))
>>> photos = photos.with_column("said", Embed("resnet18").embed(photos["content"]))
>>> photos.select("path", photos["said"]["features"], photos["said"]["error"])

One instance works in each process of Daft's, since one fills all cores or a graphics card; nothing is known here of shards: what is killed is computed again unless a `store` keeps
it, and output files are Daft's. :mod:`rehead.ray` is for jobs that must survive.
"""

from __future__ import annotations

from typing import Any, Unpack

import daft
import pyarrow as pa

from rehead._extractor import Extractor
from rehead._options import Engine, Options, Path

_SAID = daft.DataType.struct({"features": daft.DataType.list(daft.DataType.float32()), "error": daft.DataType.string()})


@daft.cls(max_concurrency=1)
class Embed:
    """Turns a column of contents of photos' files into structs of `features`, and of the `error` why there are none; one of both is null.

    The arguments are those of :class:`rehead.Extractor`, which is opened where the query runs.
    """

    def __init__(
        self, weights: Path = "resnet18", engine: Engine = "auto", batch: int | None = None, **more: Unpack[Options]
    ) -> None:
        self.extractor = Extractor(weights, engine, batch, **more)

    @daft.method.batch(return_dtype=_SAID, batch_size=256)
    def embed(self, contents: daft.Series) -> Any:
        """Embeds a batch of photos."""
        rows, errors = self.extractor.embed(contents.to_arrow(), errors="row")
        features = [row if error is None else None for row, error in zip(rows, errors, strict=True)]
        return pa.StructArray.from_arrays(
            [pa.array(features, pa.list_(pa.float32())), pa.array(errors, pa.string())], ["features", "error"]
        )
