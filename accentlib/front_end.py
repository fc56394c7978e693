"""Front ends: log-mels to a vector every 8, 16 or 32 frames. VGG (arXiv 2007.13199) and ResNet-34."""

import torch
import torch.nn.functional as F
from torch import nn

from .config import VGG_BLOCKS, Config
from .distributed import BatchNorm2d


def frame_mask(lengths: torch.Tensor, frames: int) -> torch.Tensor:
    """True where a frame belongs to the utterance: ``(batch, frames)``."""
    return torch.arange(frames, device=lengths.device) < lengths.unsqueeze(1)


class VGGBlock(nn.Module):
    """Two 3x3 convolutions, each with ReLU, and max pooling that halves frames and mels (rounded up).

    Padding is set to zero after each convolution, whose bias would otherwise leak past an utterance's
    end and back into it through the next one. Batch norm, where wanted, stands after the pooling: on a
    quarter of the values.
    """

    def __init__(self, in_channels: int, out_channels: int, batch_norm: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm = BatchNorm2d(out_channels) if batch_norm else nn.Identity()

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``(batch, in, frames, mels)`` to ``(batch, out, frames / 2, mels / 2)``; lengths None: no padding."""
        x = zero_padding(F.relu(self.conv1(x), inplace=True), lengths)
        x = zero_padding(self.conv2(x), lengths)
        # ReLU and the maximum change places: the same result (a zero of padding wins where ReLU gives zero
        # anyway), from a quarter of the values.
        x = F.relu(F.max_pool2d(x, 2, ceil_mode=True), inplace=True)
        if lengths is not None:
            lengths = (lengths + 1) // 2
        return zero_padding(self.norm(x), lengths), lengths


def zero_padding(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Set the frames past each utterance's end to zero: ``(batch, channels, frames, mels)``."""
    if lengths is None:
        return x
    mask = frame_mask(lengths, x.shape[2])[:, None, :, None].to(x.dtype)
    # A product keeps channels_last and is as fast as nothing; masked_fill takes as long as the network.
    return x * mask if torch.is_grad_enabled() else x.mul_(mask)


class VGG(nn.Module):
    """The front end: 3 or 4 blocks, the last with ``kernel_size`` channels, each before with half of it."""

    def __init__(self, config: Config):
        super().__init__()
        blocks = VGG_BLOCKS[config.front_end]
        channels = [1] + [config.kernel_size // 2**i for i in reversed(range(blocks))]
        self.blocks = nn.ModuleList(
            VGGBlock(before, after, config.batch_norm)
            for before, after in zip(channels, channels[1:], strict=False)
        )

    def forward(
        self, log_mels: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``(batch, frames, mels)`` to ``(batch, frames / 2^blocks, channels * mels / 2^blocks)`` and lengths.

        Lengths of None mean that nothing is padded.
        """
        x = as_image(log_mels, lengths)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        return x.transpose(1, 2).flatten(2), lengths  # (batch, frames, channels * mels)


def as_image(log_mels: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """``(batch, 1, frames, mels)`` with zeros for padding, whatever stands there, even NaN."""
    if lengths is not None:
        mask = frame_mask(lengths, log_mels.shape[1])
        log_mels = log_mels.masked_fill(~mask.unsqueeze(-1), 0)
    return log_mels.unsqueeze(1).contiguous(memory_format=torch.channels_last)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to their input; stride 2 halves frames and mels.

    He et al., Deep Residual Learning for Image Recognition, arXiv 1512.03385, figure 5 (left).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(out_channels)
        self.downsample = None
        if stride > 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.downsample = nn.Sequential(shortcut, BatchNorm2d(out_channels))

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``(batch, in, frames, mels)`` to ``(batch, out, frames / stride, mels / stride)``."""
        # Pooling over one value takes the stride from the 1x1 convolution; the result is the same. On processors
        # with AVX2 but not AVX-512, PyTorch 2.13 (oneDNN 3.12) corrupts memory in the backward pass of a strided
        # one with 2 to 7 input channels in channels_last: https://github.com/uxlfoundation/oneDNN/issues/6035
        same = x if self.downsample is None else self.downsample(F.avg_pool2d(x, 1, self.stride))
        if lengths is not None and self.stride > 1:
            lengths = (lengths + 1) // 2
        x = zero_padding(F.relu(self.bn1(self.conv1(x))), lengths)
        x = self.bn2(self.conv2(x))
        return zero_padding(F.relu(x + same), lengths), lengths


class ResNet34(nn.Module):
    """ResNet-34 (arXiv 1512.03385, table 1) of which every 32nd frame keeps a vector, the mean over mels.

    The published one averages frames away as well, so nothing is left to attend to; weights have its names.
    """

    def __init__(self, config: Config):
        super().__init__()
        channels = [config.kernel_size // 8, *(config.kernel_size // 2**i for i in (3, 2, 1, 0))]
        self.conv1 = nn.Conv2d(1, channels[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm2d(channels[0])
        for i, blocks in enumerate((3, 4, 6, 3), start=1):
            layer = [ResidualBlock(channels[i - 1], channels[i], stride=1 if i == 1 else 2)]
            layer += [ResidualBlock(channels[i], channels[i], stride=1) for _ in range(blocks - 1)]
            self.add_module(f"layer{i}", nn.ModuleList(layer))

    def forward(
        self, log_mels: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``(batch, frames, mels)`` to ``(batch, frames / 32, channels)`` and lengths (None: no padding)."""
        x = as_image(log_mels, lengths)
        lengths = None if lengths is None else (lengths + 1) // 2
        x = zero_padding(F.relu(self.bn1(self.conv1(x))), lengths)
        lengths = None if lengths is None else (lengths + 1) // 2
        # These windows overlap: the first past the end still holds a frame of speech.
        x = zero_padding(F.max_pool2d(x, 3, stride=2, padding=1), lengths)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in layer:
                x, lengths = block(x, lengths)
        return x.mean(dim=3).transpose(1, 2), lengths  # (batch, frames, channels)


def make_front_end(config: Config) -> nn.Module:
    """The front end of the configuration."""
    return ResNet34(config) if config.front_end == "ResNet34" else VGG(config)
