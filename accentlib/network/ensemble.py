"""Several trainings of one network that answer as one (Lakshminarayanan et al., arXiv 1612.01474)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config import InputError
from .accent_net import AccentNet, Calibration
from .padding import Lengths
from .pooling import Weights


class Ensemble(AccentNet):
    """Networks side by side: what their front ends put out, their pooled vectors and their embeddings follow
    one another; cosines, phone probabilities and attention weights are means over the networks.

    Parameters
    ----------
    networks : sequence of AccentNet
        Trained with the same settings, but for the seed, on the same accents and phones.

    Raises InputError if they differ in more than the seed."""

    def __init__(self, networks: Sequence[AccentNet]):
        nn.Module.__init__(self)
        first, *others = ((x.config.replace(seed=0), x.labels, x.phones) for x in networks)
        if any(other != first for other in others):
            raise InputError("the networks of an ensemble must have the same settings, accents and phones")
        self.config, self.labels, self.phones = networks[0].config, networks[0].labels, networks[0].phones
        self.calibration, self.familiar = Calibration(), None
        known = [x.trained_on for x in networks]
        self.trained_on = None if None in known else frozenset().union(*known)  # type: ignore[arg-type]
        self.networks, self.size = nn.ModuleList(networks), len(networks)

    def _parts(self, joined: Tensor) -> list[tuple[AccentNet, Tensor]]:
        """Each network, and its part of the last dimension."""
        each: list[AccentNet] = list(self.networks)  # type: ignore[arg-type]
        return list(zip(each, joined.chunk(self.size, dim=-1), strict=True))

    def encode(self, log_mels: Tensor, lengths: Lengths = None) -> tuple[Tensor, Tensor]:
        """As of one network, ``(batch, steps, networks * size)``."""
        outputs = [own.encode(log_mels, lengths) for own in self.networks]  # type: ignore[operator]
        encoded, steps = zip(*outputs, strict=True)
        return torch.cat(encoded, dim=-1), steps[0]

    def pool(self, encoded: Tensor, steps: Tensor) -> tuple[Tensor, Weights]:
        """As of one network, ``(batch, networks * pooled)``."""
        pooled, weights = zip(*(own.pool(part, steps) for own, part in self._parts(encoded)), strict=True)
        means = (None if x[0] is None else torch.stack(x).mean(0) for x in zip(*weights, strict=True))
        return torch.cat(pooled, dim=-1), Weights(*means)

    def embed_pooled(self, pooled: Tensor) -> Tensor:
        """As of one network, ``(batch, networks * embedding)``."""
        return torch.cat([own.embed_pooled(part) for own, part in self._parts(pooled)], dim=-1)

    def cosines(self, embedding: Tensor) -> Tensor:
        """Mean over networks of :meth:`AccentNet.cosines`."""
        return torch.stack([own.cosines(part) for own, part in self._parts(embedding)]).mean(0)

    def hear(self, encoded: Tensor) -> Tensor:
        """Mean over networks of :meth:`AccentNet.hear`."""
        return torch.stack([own.hear(part) for own, part in self._parts(encoded)]).mean(0)

    def forward(self, *batch, **options) -> tuple[Tensor, Tensor | None]:
        """Means over networks of what :meth:`AccentNet.forward` returns."""
        logits, losses = zip(*(own(*batch, **options) for own in self.networks), strict=True)
        return torch.stack(logits).mean(0), None if losses[0] is None else torch.stack(losses).mean()
