"""Distils the trainer's embedded backbone from EfficientNet-Lite0 on photos without labels.

    python tools/pretrain/distill.py --photos PHOTOS --photos TRASHNET --without tools/pretrain/demo_photos.txt

The same command goes on where a stopped one was. README.md beside tells what it does and what came out.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

from network import ASSETS, MEAN, STD, ResNet, load, save  # before torch: it sets how threads wait

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import teacher

VIEW = 160  # side of a view as the teacher sees it
SIDES = (96, 112, 128)  # sides of a view as the student sees it, in turn by batch
# Side of a photo as the network works best: larger than it learnt on, where crops show things larger (Touvron et al. 2019).
BEST = 192
CONFIG = {
    "architecture": "resnet",
    "description": "five BasicBlocks, 32 to 512 channels, learnt from EfficientNet-Lite0 (Apache-2.0) on 10,259 photos: to try things; on most photos resnet18 is worth more",
    "license": "apache-2.0",
    "num_classes": 0,
    "num_features": 512,
    "pretrained_cfg": {
        "input_size": [3, BEST, BEST],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "mean": MEAN,
        "std": STD,
        "num_classes": 0,
        "first_conv": "conv1",
        "classifier": "fc",
    },
}


def listed(folders, without):
    """Paths below `folders`, sorted, less those whose SHA-256 stands in the file `without`."""
    out = {line.split()[0] for line in Path(without).read_text().splitlines() if line.strip()} if without else set()
    paths = sorted(p for folder in folders for p in Path(folder).rglob("*.jpg"))
    return [p for p in paths if hashlib.sha256(p.read_bytes()).hexdigest() not in out]


def view(photo, random):
    """A crop of 20 to 100 % of the area, of ratio 3:4 to 4:3, mirrored or not, of changed light and colour: bytes."""
    width, height = photo.size
    for _ in range(10):
        area = width * height * random.uniform(0.2, 1.0)
        ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = np.sqrt(area * ratio), np.sqrt(area / ratio)
        if w <= width and h <= height:
            break
    else:
        w = h = min(width, height)
    x, y = random.uniform(0, width - w), random.uniform(0, height - h)
    picture = np.asarray(photo.resize((VIEW, VIEW), Image.Resampling.BILINEAR, (x, y, x + w, y + h)), np.float32)
    if random.random() < 0.5:
        picture = picture[:, ::-1]
    gain = random.uniform(0.7, 1.3) * random.uniform(0.9, 1.1, 3)
    grey = picture.mean(2, keepdims=True)
    picture = grey + (picture - grey) * random.uniform(0.6, 1.4)
    middle = picture.mean()
    picture = (middle + (picture - middle) * random.uniform(0.7, 1.3)) * gain
    return np.clip(picture, 0, 255).astype(np.uint8)


@torch.inference_mode()
def targets(model, views):
    """The teacher's pooled features of each view, in half precision."""
    found = []
    for batch in views.split(64):
        x = batch.permute(0, 3, 1, 2).float().div_(255)
        with torch.autocast("cpu", torch.bfloat16):
            found.append(model.features(x).half())
    return torch.cat(found)


def views_of(photos, model, seed, block):
    """One view of every photo and what the teacher makes of it: a function of the seed and the block's number."""
    random = np.random.default_rng([seed, block])
    views = torch.from_numpy(np.stack([view(photo, random) for photo in photos]))
    return views, targets(model, views)


def rate(progress, epochs, peak, cooldown):
    """Learning rate: up over the first epoch, level, and straight down to 0 over the last `cooldown` of the epochs."""
    return peak * min(1.0, progress, (epochs - progress) / (epochs * cooldown))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", action="append", required=True, help="folder of photos without labels (again for more)")
    parser.add_argument("--without", help="list of SHA-256 of photos to leave out, the demo's")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--cooldown", type=float, default=0.25, help="share of the epochs in which the rate falls to 0")
    parser.add_argument("--renew", type=int, default=6, help="epochs between new views of the photos")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--features-weight", type=float, default=4.0, help="of the features' loss beside the logits'")
    parser.add_argument("--mix", type=float, default=0.5, help="share of batches whose pictures are mixed in pairs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", default="distill.pt", help="where to go on from")
    parser.add_argument("--start", type=Path, help="weight file of a network to begin with instead of drawn weights")
    parser.add_argument("--out", default=ASSETS / "model.safetensors", type=Path, help="weight file to write; config.json comes beside")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    paths = listed(args.photos, args.without)
    photos = [Image.open(path).convert("RGB") for path in paths]
    guide = teacher.load()
    student = ResNet(teacher.CLASSES).to(memory_format=torch.channels_last)
    if args.start:
        load(student, args.start)
    project = torch.nn.Linear(student.fc.in_features, teacher.FEATURES)
    weights = [*student.parameters(), *project.parameters()]
    decayed = [w for w in weights if w.dim() > 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed}, {"params": [w for w in weights if w.dim() == 1], "weight_decay": 0.0}],
        lr=0,
        weight_decay=args.weight_decay,
    )
    print(f"{len(photos):,} photos, {sum(w.numel() for w in student.parameters()):,} parameters", flush=True)

    epoch, block, centre, spread = 0, None, None, None
    state = Path(args.state)
    if state.exists():
        kept = torch.load(state, weights_only=True)
        student.load_state_dict(kept["student"])
        project.load_state_dict(kept["project"])
        optimizer.load_state_dict(kept["optimizer"])
        epoch, centre, spread = kept["epoch"], kept["centre"], kept["spread"]
        print(f"goes on after epoch {epoch}", flush=True)

    steps = len(photos) // args.batch
    while epoch < args.epochs:
        start = time.monotonic()
        if block != epoch // args.renew:
            block = epoch // args.renew
            views, wanted = views_of(photos, guide, args.seed, block)
            if centre is None:
                centre, spread = wanted.float().mean(0), wanted.float().std(0) + 1e-3
        generator = torch.Generator().manual_seed(args.seed * 100_003 + epoch)
        order = torch.randperm(len(photos), generator=generator)
        student.train()
        losses = torch.zeros(2)
        for step, batch in enumerate(order[: steps * args.batch].split(args.batch)):
            for group in optimizer.param_groups:
                group["lr"] = rate(epoch + (step + 1) / steps, args.epochs, args.learning_rate, args.cooldown)
            x = views[batch].permute(0, 3, 1, 2).float().div_(255)
            if torch.rand((), generator=generator) < 0.5:
                x = x.flip(3)
            side = SIDES[step % len(SIDES)]
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
            features = wanted[batch].float()
            logits = guide._fc(features)
            soft = (logits / 2).softmax(1)
            features = (features - centre) / spread
            if torch.rand((), generator=generator) < args.mix:
                share = torch.rand((), generator=generator) * 0.5
                x = torch.lerp(x, x.flip(0), share)
                soft = torch.lerp(soft, soft.flip(0), share)
                features = torch.lerp(features, features.flip(0), share)
            x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
            pooled = student.features(x.contiguous(memory_format=torch.channels_last))
            likeness = F.mse_loss(project(pooled), features)
            answers = 4 * F.kl_div(F.log_softmax(student.fc(pooled) / 2, 1), soft, reduction="batchmean")
            optimizer.zero_grad()
            (answers + args.features_weight * likeness).backward()
            torch.nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()
            losses += torch.stack((answers, likeness)).detach()
        epoch += 1
        torch.save(
            {
                "student": student.state_dict(),
                "project": project.state_dict(),
                "optimizer": optimizer.state_dict(),
                "epoch": epoch,
                "centre": centre,
                "spread": spread,
            },
            state.with_suffix(".new"),
        )
        state.with_suffix(".new").replace(state)
        answers, likeness = (losses / steps).tolist()
        seconds = time.monotonic() - start
        print(f"epoch {epoch:3} answers {answers:.4f} features {likeness:.4f} {seconds:.0f} s", flush=True)
    save(student, args.out)
    args.out.with_name("config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")


if __name__ == "__main__":
    main()
