"""Photos a second through Ray beside those of one `trainer embed` with the same cores, in turn, and what starting costs.

    RAY_AUTH_MODE=disabled REHEAD_TRAINER=target/debug/trainer python tests/throughput.py --photos 2000 --shards 8

takes the wheel and the command line as they are built. Photos are drawn anew; nothing is kept from one round to the next.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from conftest import BACKBONE
from kills import world

import rehead.ray


def clocked(work):
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def main():
    import ray

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", default=str(BACKBONE))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        world(photos, asked.photos)
        more = ["--backbone", asked.weights, "--engine", "cpu", "--no-store", "--quiet"]
        command = [os.environ["REHEAD_TRAINER"], "embed", str(photos), *more]
        starting = clocked(lambda: ray.init(include_dashboard=False, log_to_driver=False))
        share = rehead.ray.share("cpu")
        asked_of_ray = {"shards": asked.shards, "weights": asked.weights, "engine": "cpu", "progress": False}
        few = Path(folder) / "few"
        world(few, 1)
        first = clocked(lambda: rehead.ray.features(few, Path(folder) / "first", **asked_of_ray | {"shards": 1}))
        alone, by_ray = [], []
        for turn in range(asked.rounds):
            out = Path(folder) / f"{turn}.npy"
            alone.append(clocked(lambda: subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)))
            by_ray.append(clocked(lambda: rehead.ray.features(photos, Path(folder) / f"ray-{turn}", **asked_of_ray)))
            print(f"{asked.photos / alone[-1]:.1f} photos/s alone, {asked.photos / by_ray[-1]:.1f} by Ray", flush=True)
        ratios = [one / other for one, other in zip(alone, by_ray)]
        print(
            f"{asked.photos} photos, {asked.shards} shards, {share.num_cpus:g} CPUs a task; medians of {asked.rounds} rounds in turn: "
            f"{asked.photos / statistics.median(alone):.1f} photos/s by one `trainer embed`, "
            f"{asked.photos / statistics.median(by_ray):.1f} by Ray, {statistics.median(ratios):.2f} of it; "
            f"ray.init {starting:.1f} s and a first shard of one photo {first:.1f} s besides"
        )
        ray.shutdown()


if __name__ == "__main__":
    main()
