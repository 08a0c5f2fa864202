"""The programs that a measurement runs: how cargo builds them, and where `pack` keeps them for a machine without Rust."""

import json
import os
import pathlib
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKED = ROOT / ".gpu"
ARCHIVE, ORIGIN, LOADER = PACKED / "programs.tar.gz", PACKED / "root", PACKED / "libvulkan.so.1"

# What cargo makes them by; a test's program is named `test-NAME`. With the whole workspace, both share what they build.
CARGO = [
    ["build", "--workspace", "--bin", "trainer", "--example", "verify", "--example", "peer"],
    ["test", "--workspace", "--no-run", "--test", "gpu", "--test", "resnet"],
]


def build(profile):
    """Builds all programs; their paths by name."""
    found = {}
    for arguments in CARGO:
        command = ["cargo", *arguments, "--profile", profile, "--message-format", "json-render-diagnostics"]
        print("$", " ".join(command[:-2]), flush=True)
        try:
            made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        except FileNotFoundError:
            sys.exit("There is no cargo: install Rust (https://rustup.rs), or run tools/gpu/pack on a machine that has it and bring .gpu along.")
        if made.returncode:
            sys.exit("That doesn't build: see above.")
        for line in made.stdout.splitlines():
            message = json.loads(line)
            target = message.get("target", {})
            if message.get("executable") and target["name"] in ("trainer", "verify", "peer", "gpu", "resnet"):
                test = message["profile"]["test"]
                found[("test-" if test else "") + target["name"]] = pathlib.Path(message["executable"])
    return found


def unpack(folder):
    """Unpacks what `pack` built; the programs' paths by name."""
    if not ARCHIVE.exists():
        sys.exit(f"{ARCHIVE} isn't there: run tools/gpu/pack where Rust is, and bring the folder .gpu along.")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder)
    # The tests look for their fixtures where they were compiled.
    origin = pathlib.Path(ORIGIN.read_text().strip())
    if not origin.exists():
        try:
            origin.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(ROOT, origin)
        except OSError as error:
            print(f"Tests won't find their fixtures: make {origin} a link to {ROOT} ({error}).")
    return {path.stem: path for path in pathlib.Path(folder).iterdir()}
