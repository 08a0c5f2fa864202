"""Features of a manifest's photos, in parts that are written apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypedDict, Unpack

from rehead import _native
from rehead._options import Engine, Options, Path, dumps, options


class Statistics(TypedDict):
    """What came of a shard."""

    path: str
    """The part's file."""
    photos: int
    """Photos of the shard."""
    computed: int
    """Those that went through the network now."""
    known: int
    """Those whose features were kept, or that are copies of others."""
    errors: int
    """Those that can't be used, each of which has a row that says why."""
    skipped: bool
    """Whether the part was there already."""
    bytes: int
    """The length of its file."""
    sha256: str
    """The SHA-256 of its file."""
    missing: int
    """How many parts of the job are still missing; where none is, the job is finished."""


class Shards:
    """A backbone that stays open for shard after shard. The arguments are those of :class:`rehead.Extractor`."""

    def __init__(
        self, weights: Path = "resnet18", engine: Engine = "auto", batch: int | None = None, **more: Unpack[Options]
    ) -> None:
        self._native = _native.Shards(str(weights), dumps(options(engine, batch, more)))

    def write(
        self,
        manifest: Path,
        *,
        shard: tuple[int, int],
        out: Path,
        force: bool = False,
        columns: Mapping[str, str] | None = None,
    ) -> Statistics:
        """Writes a part, as :func:`features` does."""
        index, of = shard
        asked = {
            "manifest": {"path": manifest, "columns": dict(columns or {}), "class_order": "bytes"},
            "index": index,
            "of": of,
            "out": out,
            "force": force,
        }
        done: Statistics = json.loads(self._native.write(dumps(asked)))
        return done


def features(
    manifest: Path,
    *,
    shard: tuple[int, int],
    out: Path,
    weights: Path = "resnet18",
    force: bool = False,
    columns: Mapping[str, str] | None = None,
    engine: Engine = "auto",
    batch: int | None = None,
    **more: Unpack[Options],
) -> Statistics:
    """Passes a shard's photos through a backbone and writes its part, `part-IIIII-of-NNNNN.parquet`, as `trainer features` does: whole or not at all, and the same bytes
    whoever writes it, and how often.

    Args:
        manifest: all photos: a folder, a table or an archive.
        shard: which part, counted from 0, and of how many.
        out: the folder of the parts.
        weights: as :class:`rehead.Extractor` takes them.
        force: write a part anew that is of another job.
        columns: which columns of a table hold what, where they haven't their usual names.
        engine: what computes.
        batch: photos at once, at most.
        more: see :class:`rehead.Options`.

    Raises:
        UsageError: there is no such shard, or a part of another job is there.
        InputError: the manifest or the weights can't be used. A photo that can't be read is none: its row says why.
    """
    opened = Shards(weights, engine, batch, **more)
    return opened.write(manifest, shard=shard, out=out, force=force, columns=columns)
