"""Daft: photos in a column, features and errors beside them."""

import daft
import numpy as np
import pytest
from conftest import BACKBONE, COLOURS, drawn

import rehead
from rehead.daft import Embed


@pytest.mark.filterwarnings("ignore")
def test_a_column_of_photos_becomes_one_of_features():
    contents = [drawn(COLOURS["red"], index) for index in range(5)] + [b"no photo", None]
    frame = daft.from_pydict({"content": contents, "place": list(range(7))})
    embedder = Embed(str(BACKBONE), engine="cpu")
    said = frame.with_column("said", embedder.embed(frame["content"])).sort("place").to_pydict()["said"]
    expected = rehead.Extractor(BACKBONE, engine="cpu").embed(contents[:5])
    for row, features in zip(said, expected):
        assert np.asarray(row["features"], np.float32).tobytes() == features.tobytes() and row["error"] is None
    assert [row["features"] for row in said[5:]] == [None, None] and "null" in said[6]["error"]
