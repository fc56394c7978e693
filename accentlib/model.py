"""Log-mels to an accent embedding: VGG front end, pooling, two fully connected layers, AM-Softmax."""

import torch
import torch.nn.functional as F
from torch import nn

from .config import Config
from .loss import AMSoftmax
from .pooling import Weights, make_pooling


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
        self.norm = nn.BatchNorm2d(out_channels) if batch_norm else nn.Identity()

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``(batch, in, frames, mels)`` to ``(batch, out, frames / 2, mels / 2)``; lengths None: no padding."""
        x = zero_padding(F.relu(self.conv1(x)), lengths)
        x = zero_padding(F.relu(self.conv2(x)), lengths)
        # After ReLU and zeroing, padding never wins the maximum.
        x = F.max_pool2d(x, 2, ceil_mode=True)
        if lengths is not None:
            lengths = (lengths + 1) // 2
        return zero_padding(self.norm(x), lengths), lengths


def zero_padding(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Set the frames past each utterance's end to zero: ``(batch, channels, frames, mels)``."""
    if lengths is None:
        return x
    # A product keeps channels_last and is as fast as nothing; masked_fill takes as long as the network.
    return x * frame_mask(lengths, x.shape[2])[:, None, :, None].to(x.dtype)


class VGG(nn.Module):
    """The front end: 3 or 4 blocks, the last with ``kernel_size`` channels, each before with half of it."""

    def __init__(self, config: Config):
        super().__init__()
        blocks = config.vgg_blocks
        channels = [1] + [config.kernel_size // 2**i for i in reversed(range(blocks))]
        self.blocks = nn.ModuleList(
            VGGBlock(before, after, config.batch_norm)
            for before, after in zip(channels, channels[1:], strict=False)
        )

    def forward(self, log_mels: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(batch, frames, mels)`` to ``(batch, frames / 2^blocks, channels * mels / 2^blocks)`` and lengths."""
        padded = None if bool((lengths == log_mels.shape[1]).all()) else lengths
        if padded is not None:  # whatever stands in the padding, even NaN
            mask = frame_mask(lengths, log_mels.shape[1])
            log_mels = log_mels.masked_fill(~mask.unsqueeze(-1), 0)
        x = log_mels.unsqueeze(1).contiguous(memory_format=torch.channels_last)  # (batch, 1, frames, mels)
        for block in self.blocks:
            x, padded = block(x, padded)
            lengths = (lengths + 1) // 2
        return x.transpose(1, 2).flatten(2), lengths  # (batch, frames, channels * mels)


class AccentNet(nn.Module):
    """VGG, pooling, embedding block and AM-Softmax.

    Parameters
    ----------
    config : Config
        Front end, pooling and sizes.
    labels : list of str
        Accent names; the position in the list is the class number.
    """

    def __init__(self, config: Config, labels: list[str]):
        super().__init__()
        self.config, self.labels = config, list(labels)
        size = config.embedding_size
        self.front_end = VGG(config)
        self.pooling = make_pooling(
            config.pooling_method, config.encoder_size, config.heads_number, config.mask_prob
        )
        self.fc1 = nn.Linear(self.pooling.output_size, size)
        self.fc2 = nn.Linear(size, size)
        self.norm = nn.BatchNorm1d(size)
        self.fc3 = nn.Linear(size, size)
        self.am_softmax = AMSoftmax(
            size, len(labels), config.scaling_factor, config.margin_factor, config.annealing
        )
        self.to(memory_format=torch.channels_last)

    def encode(
        self, log_mels: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The front end's output ``(batch, frames / 8 or 16, channels * mels)`` and its lengths.

        Parameters
        ----------
        log_mels : torch.Tensor
            ``(batch, frames, mels)``, normalised.
        lengths : torch.Tensor, optional
            ``(batch,)``, frames of each utterance; None: nothing is padded.
        """
        if lengths is None:
            lengths = torch.full((len(log_mels),), log_mels.shape[1])
        return self.front_end(log_mels, torch.as_tensor(lengths, device=log_mels.device))

    def attend(
        self, log_mels: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Weights]:
        """The embedding ``(batch, embedding)`` and the attention weights that made it."""
        encoded, lengths = self.encode(log_mels, lengths)
        pooled, weights = self.pooling(encoded.float(), frame_mask(lengths, encoded.shape[1]))
        x = F.relu(self.fc1(self._drop(pooled)))  # (batch, embedding)
        x = self.norm(F.relu(self.fc2(self._drop(x))))  # (batch, embedding)
        return x, weights

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.config.dropout, self.training)

    def embed(self, log_mels: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """The embedding ``(batch, embedding)``: after the second layer's ReLU and batch norm."""
        return self.attend(log_mels, lengths)[0]

    def cosines(self, embedding: torch.Tensor) -> torch.Tensor:
        """Cosines between embeddings and accents, ``(batch, accents)``."""
        return self.am_softmax.cosines(self.fc3(self._drop(embedding)))

    def logits(self, log_mels: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Scaled cosines ``(batch, accents)`` of utterances, without a margin; no label is needed."""
        return self.am_softmax.scale * self.cosines(self.embed(log_mels, lengths))

    def forward(
        self,
        log_mels: torch.Tensor,
        lengths: torch.Tensor | None,
        targets: torch.Tensor,
        step: int = 0,
    ) -> torch.Tensor:
        """The AM-Softmax loss of a training batch after ``step`` updates, a scalar."""
        cosines = self.cosines(self.embed(log_mels, lengths))
        return F.cross_entropy(self.am_softmax.margin_logits(cosines, targets, step), targets)
