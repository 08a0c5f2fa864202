"""Kills Ray's workers at random over one job, and holds what they leave beside an undisturbed run.

`python tests/kills.py --kills 100 --photos 2000 --shards 64` is the long form; tests/test_ray.py runs a short one.
"""

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
from conftest import BACKBONE, COLOURS, drawn

import rehead.ray

CORRUPT = 100
"""One of so many photos can't be read."""


def world(folder, photos):
    """Draws photos; gives the names of those that can't be read."""
    corrupt = set()
    for index in range(photos):
        name, colour = list(COLOURS.items())[index % 3]
        content = drawn(colour, index, "JPEG", quality=80) if index % 2 else drawn(colour, index)
        path = folder / name / f"{index:06}.{'jpg' if index % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        # No two alike, so that rows are known by their contents.
        content += index.to_bytes(8, "little")
        if index % CORRUPT == 37:
            content = content[:60]
            corrupt.add(f"{name}/{path.name}")
        path.write_bytes(content)
    return corrupt


def parent(process):
    """Reads a process' parent off Linux' list of them."""
    text = Path(f"/proc/{process}/stat").read_text()
    return int(text.rpartition(")")[2].split()[1])


def workers():
    """Lists the workers of the Ray that this process has started, by what they do."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            title = (folder / "cmdline").read_bytes().partition(b"\0")[0].decode()
            if title.startswith("ray::") and parent(parent(int(folder.name))) == os.getpid():
                found[int(folder.name)] = title
        except (OSError, ValueError, IndexError):
            # It has ended meanwhile.
            continue
    return found


class Killer(threading.Thread):
    """Kills a worker that writes a shard now and then, until it has killed enough."""

    def __init__(self, kills, seed=0):
        super().__init__(daemon=True)
        self.kills, self.done, self.random = kills, 0, random.Random(seed)
        self.ended = threading.Event()

    def run(self):
        while self.done < self.kills and not self.ended.wait(self.random.uniform(0.05, 0.6)):
            busy = [process for process, title in workers().items() if title == "ray::rehead shard"]
            if not busy:
                continue
            # At any moment of its work.
            time.sleep(self.random.uniform(0, 0.3))
            try:
                os.kill(self.random.choice(busy), signal.SIGKILL)
                self.done += 1
            except ProcessLookupError:
                pass


def digests(folder):
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def check(out, photos, corrupt):
    """Checks that each photo has its row once, and each that can't be read says why."""
    table = pa.concat_tables(parquet.read_table(path) for path in sorted(out.glob("part-*.parquet")))
    column = "path" if "path" in table.column_names else table.column_names[0]
    errors = dict(zip(table[column].to_pylist(), table["error"].to_pylist()))
    assert table.num_rows == len(errors) == photos
    assert {name for name, error in errors.items() if error is not None} == corrupt


def run(folder, kills, photos, shards):
    """Runs a job undisturbed and another under fire; gives how long each took, and how many were killed. Ray is up."""
    corrupt = world(folder / "photos", photos)
    asked = {"shards": shards, "weights": BACKBONE, "engine": "cpu", "num_cpus": 1, "wait": 120, "progress": False}
    begun = time.monotonic()
    calm = rehead.ray.features(folder / "photos", folder / "calm", **asked)
    halfway = time.monotonic()
    killer = Killer(kills)
    killer.start()
    again = 0
    while True:
        killed = killer.done
        out = folder / f"killed-{again}"
        rows = rehead.ray.features(folder / "photos", out, **asked)
        assert [row["sha256"] for row in rows] == [row["sha256"] for row in calm]
        assert digests(out) == digests(folder / "calm"), "the files differ from those of the undisturbed run"
        check(out, photos, corrupt)
        print(f"job {again}: {killer.done - killed} kills, every file the same to the byte", flush=True)
        if killer.done >= kills:
            break
        again += 1
    killer.ended.set()
    assert sum(row["errors"] for row in rows) == len(corrupt) > 0
    return halfway - begun, time.monotonic() - halfway, killer.done


def main():
    import ray

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--shards", type=int, default=64)
    asked = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        calm, fire, killed = run(Path(folder), asked.kills, asked.photos, asked.shards)
    print(f"{asked.photos} photos in {asked.shards} shards: {calm:.1f} s; with {killed} workers killed {fire:.1f} s")
    ray.shutdown()


if __name__ == "__main__":
    main()
