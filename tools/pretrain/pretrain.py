"""Pretrains the trainer's embedded backbone on drawn pictures and writes it to crates/trainer/assets."""

import argparse
import json
import time

from network import ASSETS, MEAN, STD, ResNet, draw, normalise  # before torch: it sets how threads wait

import torch
from safetensors.torch import save_file
from torch.nn import functional as F


def augment(pictures, generator):
    """Bytes to network input, each picture mirrored or not, shifted, its colours shuffled and jittered, with noise."""
    n, side = len(pictures), pictures.shape[1]

    def uniform(*shape):
        return torch.rand(*shape, generator=generator)

    def places():
        """Rows or columns after a shift by up to 5, mirrored or not; what would lie outside repeats the edge."""
        shift = torch.randint(-5, 6, (n, 1), generator=generator)
        place = (torch.arange(side) + shift).clamp_(0, side - 1)
        return torch.where(uniform(n, 1) < 0.5, place, place.flip(1))

    picture = torch.arange(n)
    x = pictures[picture[:, None, None], places()[:, :, None], places()[:, None, :]].float()
    # No class has a colour of its own, so any order of the channels is as good.
    order = uniform(n, 3).argsort(1)
    x = x.gather(3, order[:, None, None, :].expand_as(x))
    gain = 0.8 + 0.4 * uniform(n, 1, 1, 3)
    noise = torch.randn(x.shape, generator=generator) * (8 * uniform(n, 1, 1, 1))
    return normalise((x * gain + noise).clamp_(0, 255))


@torch.inference_mode()
def accuracy(model, pictures, labels):
    model.eval()
    hits = sum(
        (model(normalise(p)).argmax(1) == t).sum().item() for p, t in zip(pictures.split(256), labels.split(256))
    )
    return hits / len(labels)


def save(model, path):
    """Writes the state dict in half precision, without the counters that only training uses."""
    state = {
        name: tensor.half().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(state, path, {"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="training pictures a class")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.1, help="peak of the one-cycle schedule")
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default=ASSETS / "demo_backbone.safetensors", help="weight file to write")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    pictures, labels, names = draw("source", args.count, seed=1)
    held_out = draw("source", 20, seed=2)[:2]
    model = ResNet(len(names)).to(memory_format=torch.channels_last)
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(names)} classes, {len(labels):,} pictures",
        flush=True,
    )

    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=True, weight_decay=args.weight_decay, lr=0)
    steps = len(labels) // args.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.learning_rate, total_steps=args.epochs * steps, pct_start=0.2
    )
    start = time.monotonic()
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        order = torch.randperm(len(labels), generator=generator)
        for batch in order[: steps * args.batch].split(args.batch):
            loss = F.cross_entropy(model(augment(pictures[batch], generator)), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        save(model, args.out)
        held = accuracy(model, *held_out)
        elapsed = time.monotonic() - start
        print(f"epoch {epoch + 1:2} loss {total / steps:.3f} held-out accuracy {held:.4f} {elapsed:.0f} s", flush=True)

    config = {
        "architecture": "resnet",
        "description": "ResNet of one BasicBlock a stage, widths 32 to 256, trained on pictures drawn by a program, "
        "none of them a photo",
        "license": "MIT OR Apache-2.0",
        "num_classes": len(names),
        "num_features": model.fc.in_features,
        "pretrained_cfg": {
            "input_size": [3, 64, 64],
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": MEAN,
            "std": STD,
            "num_classes": len(names),
            "first_conv": "conv1",
            "classifier": "fc",
            "label_names": names,
        },
    }
    (ASSETS / "config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
