#!/usr/bin/env python3
"""Converts a PyTorch checkpoint (.pth, .pt, .bin) to safetensors.

    python tools/convert.py resnet50.pth                        writes resnet50.safetensors beside it
    python tools/convert.py checkpoint.pth.tar -o mine.safetensors

Such a checkpoint is a Python pickle, which can run any code when it is loaded. This loads it with `weights_only=True`, which
refuses everything but tensors and plain containers; `trainer` itself reads no pickles at all.

Needs: pip install torch safetensors
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

# What training scripts wrap a state dict in, in the order tried.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "module", "state_dict_ema", "model_ema")
# What wrappers of modules put before every name: DataParallel, torch.compile.
PREFIXES = ("module.", "_orig_mod.")


def fail(message):
    sys.exit(f"convert.py: {message}")


def load(torch, path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        fail(f"{path}: no such file")
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError, struct.error, ...
        # Of a refused pickle, the one line that says what it wanted; the rest advises to load it unsafely.
        lines = str(error).strip().splitlines()
        refusal = next((line.strip() for line in lines if line.strip().startswith("WeightsUnpickler error:")), None)
        if refusal is None:
            fail(f"{path}: this isn't a whole PyTorch checkpoint: {lines[0] if lines else type(error).__name__}")
        fail(
            f"{path}: not loaded, as it asks for more than tensors: {refusal.split(':', 1)[1].split('. ')[0].strip()}\n"
            "If this is a whole pickled model rather than a state dict, and you trust who made it, save its state dict where it\n"
            "was made: torch.save(model.state_dict(), path)."
        )


def state_dict(torch, checkpoint, path, key):
    """The mapping from names to tensors in whatever a training script has saved."""
    if not isinstance(checkpoint, dict):
        fail(f"{path}: holds a {type(checkpoint).__name__}; expected a dict of tensors")
    if key is not None:
        if not isinstance(checkpoint.get(key), dict):
            fail(f"{path}: no state dict under the key {key!r}; its keys are {', '.join(map(str, checkpoint))}")
        checkpoint = checkpoint[key]
    while not any(isinstance(value, torch.Tensor) for value in checkpoint.values()):
        inner = next((name for name in WRAPPERS if isinstance(checkpoint.get(name), dict)), None)
        if inner is None:
            keys = ", ".join(map(str, list(checkpoint)[:20]))
            fail(f"{path}: no state dict found; its keys are: {keys or 'none'}. Name the right one with --key")
        print(f"taking the state dict under {inner!r}", file=sys.stderr)
        checkpoint = checkpoint[inner]
    return checkpoint


def clean(torch, state, path):
    """Tensors alone, contiguous, none sharing memory with another, under names without a wrapper's prefix."""
    tensors = {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if others := sorted(str(name) for name in state if str(name) not in tensors):
        print(f"left out, being no tensors: {', '.join(others)}", file=sys.stderr)
    if not tensors:
        fail(f"{path}: the state dict holds no tensors")
    while prefix := next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    # clone: safetensors refuses tensors that share memory, such as views of one buffer.
    return {name: tensor.detach().to_dense().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}


def default_output(source):
    name = source.name.removesuffix(".tar")
    return source.with_name(Path(name).stem + ".safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the PyTorch checkpoint")
    parser.add_argument("-o", "--output", type=Path, help="the file to write [default: beside FILE, ending in .safetensors]")
    parser.add_argument("--key", help="the key of the state dict in the checkpoint [default: found]")
    parser.add_argument("--force", action="store_true", help="replace the output if it is there")
    arguments = parser.parse_args()
    try:
        import torch
        from safetensors.torch import save_file
    except ImportError as error:
        fail(f"{error}; install what it needs: pip install torch safetensors")

    output = arguments.output or default_output(arguments.file)
    if output.exists() and not arguments.force:
        fail(f"{output}: exists; give another --output, or --force")
    state = state_dict(torch, load(torch, arguments.file), arguments.file, arguments.key)
    tensors = clean(torch, state, arguments.file)
    # Written beside the output and moved there: nobody ever sees half a file.
    try:
        handle, temporary = tempfile.mkstemp(dir=output.parent, suffix=".safetensors")
        os.close(handle)
    except OSError as error:
        fail(f"{output.parent}: can't be written to: {error.strerror}")
    try:
        save_file(tensors, temporary, metadata={"format": "pt"})
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, output)
    finally:
        Path(temporary).unlink(missing_ok=True)
    values = sum(tensor.numel() for tensor in tensors.values())
    print(f"{output}: {len(tensors)} tensors, {values:,} values, {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
