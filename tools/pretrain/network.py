"""The network and the pictures that both scripts use."""

import os
import subprocess
import tempfile
from pathlib import Path

# Read when torch is loaded. Threads that spin while they wait make a shared machine several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "crates/trainer/assets"
WIDTHS = (32, 64, 128, 256)
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside an identity, or a 1x1 convolution where the shape changes."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + skip)


class ResNet(nn.Module):
    """ResNet of one BasicBlock a stage, with torchvision's tensor names and stem, at half of ResNet-18's widths."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for stage, outputs in enumerate(WIDTHS):
            block = BasicBlock(WIDTHS[max(stage - 1, 0)], outputs, 1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", nn.Sequential(block))
        self.fc = nn.Linear(WIDTHS[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x):
        """[N, 3, 64, 64], normalised, to [N, 256]: the mean of the last stage over its places."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3))

    def forward(self, x):
        return self.fc(self.features(x))


def normalise(pictures):
    """Bytes [N, 64, 64, 3] to floats [N, 3, 64, 64] of ImageNet's mean 0 and deviation 1, channels last in memory."""
    x = pictures.float().div_(255).sub_(torch.tensor(MEAN)).div_(torch.tensor(STD))
    return x.permute(0, 3, 1, 2)


def draw(task, count, seed):
    """Draws `count` pictures of each class of `task`: bytes [N, 64, 64, 3], labels [N], class names."""
    with tempfile.TemporaryDirectory() as directory:
        command = ["cargo", "run", "--quiet", "-p", "trainer", "--example", "draw", "--", task, directory, "--raw"]
        subprocess.run([*command, "--count", str(count), "--seed", str(seed)], cwd=ROOT, check=True)
        images = np.fromfile(Path(directory, "images.u8"), np.uint8).reshape(-1, 64, 64, 3)
        labels = np.fromfile(Path(directory, "labels.u8"), np.uint8)
        names = Path(directory, "classes.txt").read_text().splitlines()
    return torch.from_numpy(images), torch.from_numpy(labels).long(), names
