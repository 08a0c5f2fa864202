"""Ray: shards over tasks, some of which are killed; what a task asks for; what ends instead of hanging."""

import time

import numpy as np
import pyarrow as pa
import pytest
import ray
from conftest import BACKBONE, COLOURS, drawn
from kills import CORRUPT, check, run, world

import rehead
import rehead.ray as adapter

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def cluster(cache):
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_killed_workers_leave_the_same_files(tmp_path):
    _, _, killed = run(tmp_path, kills=4, photos=2 * CORRUPT, shards=8)
    assert killed == 4


def test_a_shard_is_the_same_by_itself(tmp_path):
    corrupt = world(tmp_path / "photos", CORRUPT)
    rows = adapter.features(
        tmp_path / "photos", tmp_path / "ray", shards=3, weights=BACKBONE, engine="cpu", progress=False
    )
    for index, row in enumerate(rows):
        asked = {"shard": (index, 3), "weights": BACKBONE, "engine": "cpu"}
        alone = rehead.features(tmp_path / "photos", out=tmp_path / "alone", **asked)
        assert alone["sha256"] == row["sha256"] and alone["photos"] == row["photos"]
        assert rehead.features(tmp_path / "photos", out=tmp_path / "alone", **asked)["skipped"]
    check(tmp_path / "alone", CORRUPT, corrupt)
    assert (tmp_path / "ray" / "_SUCCESS").read_bytes() == (tmp_path / "alone" / "_SUCCESS").read_bytes()
    with pytest.raises(rehead.UsageError, match="force=True"):
        rehead.features(
            tmp_path / "photos", shard=(0, 3), out=tmp_path / "alone", weights=BACKBONE, engine="cpu", exif="ignore"
        )


def test_a_task_asks_for_what_there_is():
    assert adapter.share("auto") == adapter.share("cpu") == (2, 0)
    assert adapter.share(num_cpus=1) == (1, 0)
    for asked in ({"num_cpus": 3}, {"num_gpus": 1}):
        with pytest.raises(ValueError, match="no machine"):
            adapter.share(**asked)


def test_a_wait_without_progress_is_an_error(tmp_path):
    world(tmp_path / "photos", 3)

    @ray.remote(num_cpus=2)
    def hold():
        time.sleep(60)

    held = hold.remote()
    time.sleep(1)
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="0 of 2 are done: a task asks for 2 CPUs.*'CPU': 0"):
        adapter.features(
            tmp_path / "photos", tmp_path / "out", shards=2, weights=BACKBONE, engine="cpu", wait=2, progress=False
        )
    assert time.monotonic() - begun < 30
    ray.cancel(held, force=True)


def test_what_fails_one_shard_ends_the_work(tmp_path):
    with pytest.raises(rehead.InputError, match="no such folder"):
        adapter.features(tmp_path / "none", tmp_path / "out", shards=2, weights=BACKBONE, engine="cpu", progress=False)


def test_ray_data_takes_it_as_a_class():
    contents = [drawn(COLOURS["red"], index) for index in range(5)] + [b"no photo"]
    photos = ray.data.from_arrow(pa.table({"bytes": contents, "place": range(6)}))
    more = {"weights": str(BACKBONE), "engine": "cpu"}
    embedded = photos.map_batches(
        adapter.Embed, fn_constructor_kwargs=more, batch_format="pyarrow", batch_size=4, num_cpus=1, concurrency=1
    )
    rows = sorted(embedded.take_all(), key=lambda row: row["place"])
    expected = rehead.Extractor(BACKBONE, engine="cpu").embed(contents[:5])
    for row, features in zip(rows, expected):
        assert np.asarray(row["features"], np.float32).tobytes() == features.tobytes() and row["error"] is None
    assert rows[5]["features"] is None and rows[5]["error"] and "bytes" not in rows[5]
