"""PyTorch beside Rehead: images/s of torchvision's networks, BatchNorm folded, in f32, TF32 and f16, eager and as a CUDA graph.

Images lie on the device already. It also writes weights, images and features in f64, for comparing answers: FOLDER/NETWORK.safetensors,
FOLDER/imagesBATCH.f32 and FOLDER/NETWORK-BATCH.f32. FOLDER/torch.json grows row by row, so that a mode which hangs costs only what follows.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

MODES = {"cuda": ("f32", "tf32", "f16"), "cpu": ("f32",)}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--networks", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 32, 64])
    parser.add_argument("--device", choices=MODES, default="cuda")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each figure")
    return parser.parse_args()


args = arguments()
try:
    import torch
    import torchvision
    from safetensors.torch import save_file
    from torch.fx.experimental.optimization import fuse
except ImportError as error:
    sys.exit(f"PyTorch isn't measured: {error}. Install torch, torchvision and safetensors, or name a Python that has them with --python.")
if args.device == "cuda" and not torch.cuda.is_available():
    sys.exit("PyTorch isn't measured: it sees no CUDA device. --device cpu measures it on the CPU.")
torch.manual_seed(0)
torch.set_grad_enabled(False)
torch.backends.cudnn.benchmark = True


def wait():
    if args.device == "cuda":
        torch.cuda.synchronize()


def seconds(call):
    """The time of one call, of many that queue up and are waited for together: the median of five rounds."""
    def time_of(count):
        start = time.perf_counter()
        for _ in range(count):
            call()
        wait()
        return (time.perf_counter() - start) / count
    time_of(3)
    count = max(1, int(args.seconds / 5 / time_of(1)))
    return statistics.median(time_of(count) for _ in range(5))


def graph(call):
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        call()
    return captured.replay


def tf32(allowed):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def measure(network, mode, images):
    """Images/s in a mode, eager and as a graph."""
    tf32(mode != "f32")
    kind = torch.half if mode == "f16" else torch.float
    network = network.to(kind).to(memory_format=torch.channels_last)
    images = images.to(args.device, kind).to(memory_format=torch.channels_last)
    call, rates = lambda: network(images), {}
    for way in ("eager", "graph") if args.device == "cuda" else ("eager",):
        try:
            rates[way] = len(images) / seconds(call if way == "eager" else graph(call))
        except RuntimeError as error:
            # A way that fails is no reason to lose the others.
            print(f"{mode} {way}, batch {len(images)}: {error}", file=sys.stderr)
    return rates


def main():
    args.folder.mkdir(parents=True, exist_ok=True)
    images = {batch: torch.randn(batch, 3, 224, 224) for batch in args.batches}
    for batch, values in images.items():
        values.numpy().tofile(args.folder / f"images{batch}.f32")
    rows = []
    for name in args.networks:
        network = torchvision.models.get_model(name, weights=None).eval()
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, args.folder / f"{name}.safetensors")
        network.fc = torch.nn.Identity()
        folded = fuse(network).to(args.device)
        tf32(False)
        exact = network.double().to(args.device)
        for batch, values in images.items():
            exact(values.double().to(args.device)).float().cpu().numpy().tofile(args.folder / f"{name}-{batch}.f32")
        for mode in MODES[args.device]:
            for batch, values in images.items():
                rates = measure(folded, mode, values)
                rows.append({"network": name, "batch": batch, "mode": mode, **rates})
                (args.folder / "torch.json").write_text(json.dumps(rows))
                print(name, batch, mode, rates, flush=True)
    device = torch.cuda.get_device_name() if args.device == "cuda" else "the CPU"
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, CUDA {torch.version.cuda}, on {device}")


main()
