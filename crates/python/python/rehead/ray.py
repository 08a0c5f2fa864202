"""Features of more photos than one machine should compute, by Ray.

:func:`features` shares the shards of a manifest out among the tasks of a cluster. A task writes its own named file, whole or not at all, so a task that is killed is
done again and leaves the same bytes. :class:`Embed` is for Ray Data's own pipelines.

>>> import ray, rehead.ray
>>> ray.init("auto")
>>> rows = rehead.ray.features("photos.csv", "s3mount/features", shards=64)
>>> sum(row["errors"] for row in rows)
0
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from rehead._errors import DeviceError
from rehead._extractor import Extractor
from rehead._options import Engine, Options, Path, dumps
from rehead._shards import Shards, Statistics

if TYPE_CHECKING:
    import pyarrow as pa


class Share(NamedTuple):
    """What a task asks of its machine."""

    num_cpus: float
    num_gpus: float


def share(engine: Engine = "auto", num_cpus: float | None = None, num_gpus: float | None = None) -> Share:
    """Computes what a task asks of a machine: a GPU and its part of the cores, or all cores of the smallest machine, since one task fills them.

    Args:
        engine: what computes; `auto` takes GPUs where the cluster has any.
        num_cpus: asked for as given, where it is.
        num_gpus: likewise.

    Raises:
        ValueError: no machine of the cluster has so much, and the task would wait for ever.
    """
    import ray

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    machines = [{kind: machine.get(kind, 0.0) for kind in ("CPU", "GPU")} for machine in machines]
    with_gpus = [machine for machine in machines if machine["GPU"] >= 1 and machine["CPU"] >= 1]
    if num_gpus is None:
        num_gpus = 1.0 if with_gpus and engine != "cpu" else 0.0
    if num_cpus is None:
        if num_gpus:
            parts = [machine["CPU"] * num_gpus / machine["GPU"] for machine in with_gpus]
        else:
            parts = [machine["CPU"] for machine in machines if machine["CPU"] >= 1]
        num_cpus = max(1.0, float(int(min(parts, default=1.0))))
    if not any(machine["CPU"] >= num_cpus and machine["GPU"] >= num_gpus for machine in machines):
        raise ValueError(
            f"a task asks for {num_cpus:g} CPUs and {num_gpus:g} GPUs, and no machine of the cluster has so much: {machines}"
        )
    return Share(num_cpus, num_gpus)


def features(
    manifest: Path,
    out: Path,
    *,
    shards: int,
    weights: Path = "resnet18",
    force: bool = False,
    columns: Mapping[str, str] | None = None,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    wait: float = 1800.0,
    progress: bool = True,
    engine: Engine = "auto",
    batch: int | None = None,
    **more: Unpack[Options],
) -> list[Statistics]:
    """Computes the features of a manifest's photos, shard by shard, on the cluster that `ray.init` has joined.

    All machines must see `manifest`, its photos and `out` under the same paths. A task whose machine or process dies is done again, as often as it takes; a shard that is
    there is left as it is, so the same call goes on where another has ended.

    Args:
        manifest: all photos: a folder, a table or an archive.
        out: the folder of the parts `part-IIIII-of-NNNNN.parquet`.
        shards: into how many parts; a few for each task at once, and no more than some 100,000 photos a part.
        weights: as :class:`rehead.Extractor` takes them.
        force: write parts anew that are of another job.
        columns: which columns of a table hold what, where they haven't their usual names.
        num_cpus: CPUs of a task; see :func:`share`. It computes with as many threads.
        num_gpus: GPUs of a task; likewise.
        wait: seconds after which it is an error that no shard has ended: more than a shard takes.
        progress: show a bar in Ray's way.
        engine: what computes.
        batch: photos at once, at most.
        more: see :class:`rehead.Options`.

    Returns:
        What came of each shard, in their order. `ray.data.from_items` makes a data set of it.

    Raises:
        TimeoutError: no shard has ended for `wait` seconds.
        Error: what one shard fails of, others fail of too: the work ends. Photos that can't be read are no error, but rows that say why.
    """
    import ray

    if shards < 1:
        raise ValueError(f"shards={shards}: expected 1 or more")
    asked = share(engine, num_cpus, num_gpus)
    # Paths mean the same on machines that work in another folder.
    store = more.get("store", False)
    if not isinstance(store, bool):
        more["store"] = os.path.abspath(store)
    made_of = dumps([_absolute(weights), engine, batch, more])
    job = {"manifest": os.path.abspath(manifest), "out": os.path.abspath(out), "force": force, "columns": columns}
    task = ray.remote(_shard).options(
        name="rehead shard", num_cpus=asked.num_cpus, num_gpus=asked.num_gpus, max_retries=-1, retry_exceptions=False
    )
    threads = max(1, int(asked.num_cpus))
    waiting = {task.remote(made_of, job, (index, shards), threads): index for index in range(shards)}
    done: dict[int, Statistics] = {}
    bar = _bar(shards) if progress else None
    try:
        while waiting:
            ended, _ = ray.wait(list(waiting), num_returns=1, timeout=wait)
            if not ended:
                free = {kind: ray.available_resources().get(kind, 0.0) for kind in ("CPU", "GPU")}
                raise TimeoutError(
                    f"no shard has ended for {wait:g} s, {len(done)} of {shards} are done: a task asks for {asked.num_cpus:g} CPUs and "
                    f"{asked.num_gpus:g} GPUs, {free} are free; give a longer wait, more shards, or smaller shares"
                )
            for reference in ended:
                done[waiting[reference]] = ray.get(reference)
                del waiting[reference]
                if bar is not None:
                    bar.update(1)
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
        if bar is not None:
            bar.close()
    return [done[index] for index in range(shards)]


def _absolute(weights: Path) -> str:
    """Makes a path of weights mean the same from any folder; a name stays one."""
    return os.path.abspath(weights) if os.path.exists(weights) else os.fspath(weights)


def _bar(shards: int) -> Any:
    from ray.experimental import tqdm_ray

    return tqdm_ray.tqdm(total=shards, desc="shards", unit="shard")


def _shard(made_of: str, job: dict[str, Any], shard: tuple[int, int], threads: int) -> Statistics:
    """What a task does."""
    # Read when the first network is opened: by then, or never, the process has its threads.
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    try:
        return _opened(made_of).write(shard=shard, **job)
    except DeviceError:
        # The next task of this process shall find no device that was lost.
        _opened.cache_clear()
        raise


@lru_cache(maxsize=1)
def _opened(made_of: str) -> Shards:
    """Opens a backbone once for all tasks of a process."""
    weights, engine, batch, more = json.loads(made_of)
    return Shards(weights, engine, batch, **more)


class Embed:
    """Adds features to batches of photos, for `ray.data.Dataset.map_batches`.

    It takes and gives Arrow tables (`batch_format="pyarrow"`): a column of the contents of photos' files becomes the columns `features`, a list of 32-bit floats, and
    `error`, why a photo can't be read, else null. As an actor it needs CPUs beside those that read: with :func:`share` it takes all, so leave some, or let `concurrency`
    be one less than there is room for.

    Example:
        >>> photos = ray.data.read_binary_files("photos", include_paths=True)
        >>> photos.map_batches(Embed, batch_format="pyarrow", batch_size=256, num_cpus=3, concurrency=1)
    """

    def __init__(
        self,
        column: str = "bytes",
        weights: Path = "resnet18",
        engine: Engine = "auto",
        batch: int | None = None,
        keep: bool = False,
        **more: Unpack[Options],
    ) -> None:
        self.column = column
        self.keep = keep
        self.extractor = Extractor(weights, engine, batch, **more)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Embeds a batch; its photos' contents are dropped unless `keep` was asked for."""
        import pyarrow as pa

        rows, errors = self.extractor.embed(table.column(self.column), errors="row")
        lists = pa.FixedSizeListArray.from_arrays(
            pa.array(rows.ravel()), self.extractor.width, mask=pa.array([error is not None for error in errors])
        )
        left = table if self.keep else table.drop_columns([self.column])
        return left.append_column("features", lists).append_column("error", pa.array(errors, pa.string()))
