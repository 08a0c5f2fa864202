"""The same work in PyTorch on the CPU: ResNet-18 forward at 224 px, and 100 epochs of a linear head on cached features.

    pip install torch torchvision && python benches/peers/pytorch.py

Prints medians. Run it beside `cargo bench --bench resnet` and `cargo bench --bench head`, on an otherwise idle machine.
"""

import statistics
import time

import torch
import torchvision


def median(work, runs=7):
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def head(photos, width, classes, batch_size, epochs):
    """Gives what trains a linear head for so many epochs, as `cargo bench --bench head` does."""
    torch.manual_seed(0)
    features, labels = torch.randn(photos, width), torch.arange(photos) % classes
    layer = torch.nn.Linear(width, classes)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=3e-3, weight_decay=1e-2)

    def epoch():
        for batch in torch.randperm(photos).split(batch_size):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(features[batch]), labels[batch]).backward()
            optimizer.step()

    return lambda: [epoch() for _ in range(epochs)]


if __name__ == "__main__":
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    with torch.inference_mode():
        for name in ["resnet18", "resnet50"]:
            model = getattr(torchvision.models, name)().eval().to(memory_format=torch.channels_last)
            for batch in [1, 8]:
                images = torch.randn(batch, 3, 224, 224).to(memory_format=torch.channels_last)
                print(f"{name} batch {batch}: {batch / median(lambda: model(images)):.1f} images/s")
        a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
        print(f"matmul 1024: {2 * 1024**3 / median(lambda: a @ b) / 1e9:.0f} GFLOP/s")
    print(f"head, 2000x512, 5 classes, 100 epochs: {median(head(2000, 512, 5, 64, 100), 3):.2f} s")
    print(f"head, 50000x2048, 100 classes, batch 256: {1 / median(head(50_000, 2048, 100, 256, 1)):.2f} epochs/s")
