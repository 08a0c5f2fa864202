"""The embedded backbone: its network and how it is written."""

import os
from pathlib import Path

# Read when torch is loaded. Threads that spin while they wait make a shared machine several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from safetensors.torch import load_file, save_file
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "crates/trainer/assets/demo"
WIDTHS = (32, 64, 192, 512)
DEPTHS = (1, 1, 2, 1)
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
    """ResNet of five BasicBlocks in four stages, with torchvision's tensor names and stem: thin where maps are large."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = WIDTHS[0]
        for stage, (outputs, depth) in enumerate(zip(WIDTHS, DEPTHS), 1):
            first = BasicBlock(inputs, outputs, 1 if stage == 1 else 2)
            rest = [BasicBlock(outputs, outputs, 1) for _ in range(depth - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(first, *rest))
            inputs = outputs
        self.fc = nn.Linear(WIDTHS[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x):
        """[N, 3, H, W], normalised, to [N, 512]: the mean of the last stage over its places."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3))

    def forward(self, x):
        return self.fc(self.features(x))


def load(model, path):
    """Reads a network that `save` wrote; its head stays as it is."""
    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    left = model.load_state_dict(state, strict=False)
    assert not left.unexpected_keys and all(name.startswith("fc.") or name.endswith("num_batches_tracked") for name in left.missing_keys)


def save(model, path):
    """Writes a network's tensors in half precision, without its head and the counters that only training uses.

    Of each weight's mantissa six bits are left: as good, and a packed file is a third smaller.
    """
    state = {}
    for name, tensor in model.state_dict().items():
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked"):
            bits = tensor.half().contiguous().view(torch.int16)
            if tensor.dim() > 1:
                bits = (bits + 8) & ~15
            state[name] = bits.view(torch.float16)
    save_file(state, path, {"format": "pt"})
