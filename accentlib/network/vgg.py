"""The VGG front end: log-mels to a vector every 16 frames or fewer (arXiv 2007.13199, section 2)."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import VGG_BLOCKS, Config
from .padding import Lengths, as_image, halved, zero_before_relu, zero_padding


class VGGBlock(nn.Module):
    """Two 3x3 convolutions with ReLU, then max pooling that halves (rounds up) mels, and frames if ``halve``.
    Padding is zeroed after each convolution: its bias would leak past an utterance's end, and back through
    the next convolution. Batch norm, if any, follows the pooling, on a quarter of the values."""

    def __init__(self, in_channels: int, out_channels: int, batch_norm: bool, halve: bool = True):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.pool = (2 if halve else 1, 2)
        self.norm = nn.BatchNorm2d(out_channels) if batch_norm else nn.Identity()

    def forward(self, x: Tensor, lengths: Lengths) -> tuple[Tensor, Lengths]:
        """``(batch, in, frames, mels)`` to ``(batch, out, frames / 2 or frames, mels / 2)``, and lengths."""
        x = F.relu(zero_before_relu(self.conv1(x), lengths), inplace=True)
        x = zero_before_relu(self.conv2(x), lengths)
        # ReLU after the maximum gives the same as before it, from a quarter of the values.
        x = F.relu(F.max_pool2d(x, self.pool, ceil_mode=True), inplace=True)
        lengths = halved(lengths) if self.pool[0] == 2 else lengths
        return zero_padding(self.norm(x), lengths), lengths


class VGG(nn.Module):
    """3 or 4 blocks; the last has ``channels`` channels, each earlier one half of the next."""

    def __init__(self, config: Config):
        super().__init__()
        blocks = VGG_BLOCKS[config.front_end]
        sizes = [1] + [config.channels // 2**i for i in reversed(range(blocks))]
        pairs = enumerate(zip(sizes, sizes[1:], strict=False))
        self.blocks = nn.ModuleList(
            VGGBlock(*pair, config.batch_norm, 2**i < config.frames_a_step) for i, pair in pairs
        )

    def forward(self, log_mels: Tensor, lengths: Lengths) -> tuple[Tensor, Lengths]:
        """``(batch, frames, mels)`` to ``(batch, steps, channels * mels / 2^blocks)``, and their lengths."""
        x = as_image(log_mels, lengths)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        return x.transpose(1, 2).flatten(2), lengths  # (batch, steps, channels * mels)
