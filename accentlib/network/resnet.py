"""ResNet-34, the published trainer's other front end: log-mels to a vector every 32 frames."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Config
from .padding import Lengths, as_image, halved, zero_padding


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to their input (arXiv 1512.03385, figure 5, left)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride > 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor, lengths: Lengths) -> tuple[Tensor, Lengths]:
        """``(batch, in, frames, mels)`` to ``(batch, out, frames / stride, mels / stride)``."""
        # The shortcut strides by pooling over one value, with the same result as a strided 1x1 convolution.
        # With AVX2 but not AVX-512, PyTorch 2.13 (oneDNN 3.12) corrupts memory in that one's backward pass
        # (2 to 7 input channels, channels_last): https://github.com/uxlfoundation/oneDNN/issues/6035
        same = x if self.downsample is None else self.downsample(F.avg_pool2d(x, 1, self.stride))
        lengths = halved(lengths) if self.stride > 1 else lengths
        x = zero_padding(F.relu(self.bn1(self.conv1(x))), lengths)
        x = self.bn2(self.conv2(x))
        return zero_padding(F.relu(x + same), lengths), lengths


class ResNet34(nn.Module):
    """ResNet-34 (arXiv 1512.03385, table 1) that keeps frames apart and averages over mels.
    The published one averages over frames as well, which leaves nothing to attend to. Weights have its names.
    """

    def __init__(self, config: Config):
        super().__init__()
        sizes = [config.channels // 8, *(config.channels // 2**i for i in (3, 2, 1, 0))]
        self.conv1 = nn.Conv2d(1, sizes[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(sizes[0])
        for i, blocks in enumerate((3, 4, 6, 3), start=1):
            layer = [ResidualBlock(sizes[i - 1], sizes[i], stride=1 if i == 1 else 2)]
            layer += [ResidualBlock(sizes[i], sizes[i], stride=1) for _ in range(blocks - 1)]
            self.add_module(f"layer{i}", nn.ModuleList(layer))

    def forward(self, log_mels: Tensor, lengths: Lengths) -> tuple[Tensor, Lengths]:
        """``(batch, frames, mels)`` to ``(batch, frames / 32, channels)``, and their lengths."""
        x, lengths = as_image(log_mels, lengths), halved(lengths)
        x, lengths = zero_padding(F.relu(self.bn1(self.conv1(x))), lengths), halved(lengths)
        # These windows overlap: the first one past the end still sees a frame of speech.
        x = zero_padding(F.max_pool2d(x, 3, stride=2, padding=1), lengths)
        for i in (1, 2, 3, 4):
            for block in self.get_submodule(f"layer{i}").children():
                x, lengths = block(x, lengths)
        return x.mean(dim=3).transpose(1, 2), lengths  # (batch, steps, channels)
