"""Photos as callers have them, made what the native half takes: buffers, paths, or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

from rehead._errors import InputError

Photo = bytes | bytearray | memoryview | str | os.PathLike[str] | None
"""The content of a photo's file, or the path of the file; nothing where it is missing."""

Errors = Literal["raise", "row"]
"""What becomes of photos that can't be read: an exception, or a row without figures and the reason beside it."""


def buffers(images: Iterable[Photo] | Any) -> list[memoryview | str | None]:
    """Lists photos as buffers and paths, none copied.

    `images` may be any iterable of :data:`Photo`, or an Arrow array of binary values (anything with `__arrow_c_array__` or
    `__arrow_c_stream__`), in which nulls are missing photos.
    """
    if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike)):
        raise TypeError("expected several photos, got one: put it into a list")
    if hasattr(images, "__arrow_c_array__") or hasattr(images, "__arrow_c_stream__"):
        return [value if value is None else memoryview(value).cast("B") for value in _arrow(images)]
    return [_buffer(image) for image in images]


def _buffer(image: Photo) -> memoryview | str | None:
    if image is None:
        return None
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    # A scalar of Arrow's holds its bytes in a buffer.
    return memoryview(image.as_buffer() if hasattr(image, "as_buffer") else image).cast("B")


def _arrow(images: Any) -> list[Any]:
    """Lists the buffers of an Arrow array of binary values, whoever made it."""
    import pyarrow as pa

    if not isinstance(images, (pa.Array, pa.ChunkedArray)):
        images = pa.array(images) if hasattr(images, "__arrow_c_array__") else pa.chunked_array(images)
    kind = images.type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)):
        raise TypeError(f"expected an Arrow array of binary values, the contents of photos' files, got one of {kind}")
    return [value.as_buffer() for value in images]


def check(errors: list[str | None], how: Errors) -> None:
    """Raises what the first photo can't be read for, where that is asked for.

    Raises:
        InputError: a photo can't be read.
    """
    if how not in ("raise", "row"):
        raise ValueError(f'errors={how!r}: expected "raise" or "row"')
    bad = [row for row, error in enumerate(errors) if error is not None]
    if how == "raise" and bad:
        more = f" (and {len(bad) - 1} more of {len(errors)})" if len(bad) > 1 else ""
        remedy = 'errors="row" leaves them out and says of each why'
        error = InputError(f"row {bad[0]}{more}: {errors[bad[0]]}; {remedy}")
        error.remedy = remedy
        raise error
