"""Log-mels to an accent embedding: front end, pooling, fully connected layers, AM-Softmax."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Config
from .am_softmax import AMSoftmax, phone_loss
from .padding import Lengths, frame_mask
from .pooling import Weights, make_pooling
from .resnet import ResNet34
from .vgg import VGG


@dataclass(frozen=True)
class Calibration:
    """Makes probabilities honest; :func:`accentlib.calibrate` fits it on validation speakers."""

    temperature: float = 1.0  # divides the logits
    window_gain: float = 0.0  # mean logits of n windows are multiplied by n ** window_gain
    unsure_below: float = 0.0  # answers with a lower probability are "unsure"


class Familiar(NamedTuple):
    """Training material as probabilistic PCA describes it: its points are means of the front end's output
    over a window (:func:`accentlib.embeddings.familiarity.fit_familiar`)."""

    mean: Tensor  # (values,)
    scale: Tensor  # (values,), deviations of the points
    components: Tensor  # (components, values), of scaled points
    variances: Tensor  # (components,)
    noise: Tensor  # (), variance beside the components
    usual: Tensor  # (2, lengths): steps of a window, and how far people are in so many
    limit: Tensor  # (), a larger distance is unlike anything I know

    def distances(self, points: Tensor, steps: Tensor) -> Tensor:
        """Squared Mahalanobis distance of points ``(windows, values)``, as a multiple of what is usual for
        windows of so many ``steps`` ``(windows,)``."""
        x = (points - self.mean) / self.scale
        along = x @ self.components.T  # (windows, components)
        beside = (x**2).sum(1) - (along**2).sum(1)
        distances = (along**2 / self.variances).sum(1) + beside / self.noise
        usual = np.exp(np.interp(steps.log(), *self.usual.log().numpy()))  # (windows,)
        return distances / torch.from_numpy(usual)


class AccentNet(nn.Module):
    """Front end, pooling, embedding layers and AM-Softmax.

    Everywhere ``log_mels`` ``(batch, frames, mels)`` are normalised, and ``lengths`` ``(batch,)`` are the
    frames of each utterance, None if nothing is padded. Padding never changes an embedding.

    Parameters
    ----------
    labels : list of str
        Accents; the position in the list is the class number.
    phones : sequence of str
        Phones that the front end learns as a second task; often none."""

    size = 1  # networks in it; :class:`accentlib.network.ensemble.Ensemble` has several

    def __init__(self, config: Config, labels: list[str], phones: Sequence[str] = ()):
        super().__init__()
        self.config, self.labels, self.phones = config, list(labels), list(phones)
        self.calibration = Calibration()
        self.familiar: Familiar | None = None  # None: unknown
        self.trained_on: frozenset[int] | None = frozenset()  # fingerprints of training clips; None: unknown
        size = config.embedding_size
        self.front_end = ResNet34(config) if config.front_end == "ResNet34" else VGG(config)
        self.pooling = make_pooling(config, len(self.phones))
        pooled_size: int = self.pooling.output_size  # type: ignore[assignment]  # it is no module
        self.fc1, self.fc2 = nn.Linear(pooled_size, size), nn.Linear(size, size)
        self.norm, self.fc3 = nn.BatchNorm1d(size), nn.Linear(size, size)
        self.am_softmax = AMSoftmax(size, len(labels), config.scale, config.margin, config.annealing)
        if self.phones:
            self.phone_layer = nn.Linear(config.encoder_size, len(self.phones))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs

    def encode(self, log_mels: Tensor, lengths: Lengths = None) -> tuple[Tensor, Tensor]:
        """Output of the front end, ``(batch, steps, size)``, and the steps of each utterance ``(batch,)``."""
        lengths = None if lengths is None else torch.as_tensor(lengths, device=log_mels.device)
        encoded, steps = self.front_end(log_mels, lengths)
        if steps is None:
            steps = torch.full(encoded.shape[:1], encoded.shape[1], device=encoded.device)
        return encoded, steps

    def pool(self, encoded: Tensor, steps: Tensor) -> tuple[Tensor, Weights]:
        """The pooled vector ``(batch, pooled)`` and the attention weights, from the front end's output."""
        given = [encoded.float(), frame_mask(steps, encoded.shape[1])]
        if self.config.pooling_method == "Phones":
            # detached: the accent's gradient must not change what counts as which phone
            given.append(self.hear(encoded).detach())
        return self.pooling(*given)

    def hear(self, encoded: Tensor) -> Tensor:
        """Phone probabilities ``(batch, steps, phones)`` from the output of a front end that learned them."""
        return self.phone_layer(encoded).float().softmax(dim=-1)

    def embed_pooled(self, pooled: Tensor) -> Tensor:
        """The embedding ``(batch, embedding)`` of a pooled vector ``(batch, pooled)``."""
        x = F.relu(self.fc1(self._drop(pooled)))  # (batch, embedding)
        return self.norm(F.relu(self.fc2(self._drop(x))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.config.dropout, self.training)

    def attend(self, log_mels: Tensor, lengths: Lengths = None) -> tuple[Tensor, Weights]:
        """The embedding ``(batch, embedding)`` and the attention weights that made it."""
        pooled, weights = self.pool(*self.encode(log_mels, lengths))
        return self.embed_pooled(pooled), weights

    def embed(self, log_mels: Tensor, lengths: Lengths = None) -> Tensor:
        """The embedding ``(batch, embedding)``: after the second layer's ReLU and batch norm."""
        return self.attend(log_mels, lengths)[0]

    def cosines(self, embedding: Tensor) -> Tensor:
        """Cosines between embeddings and accents, ``(batch, accents)``."""
        return self.am_softmax.cosines(self.fc3(self._drop(embedding)))

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits (scaled cosines) of embeddings, ``(batch, accents)``, without a margin."""
        return self.config.scale * self.cosines(embedding)

    def logits(self, log_mels: Tensor, lengths: Lengths = None) -> Tensor:
        """As :meth:`classify`, of log-mels."""
        return self(log_mels, lengths)[0]

    def forward(self, log_mels: Tensor, lengths: Lengths = None, targets: Tensor | None = None, *,
                step: int = 0, class_weights: Tensor | None = None,
                phones: Tensor | None = None) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Logits (scaled cosines, without a margin) ``(batch, accents)``, and the loss, None without targets.
        The loss is AM-Softmax's after ``step`` updates, weighted by ``class_weights`` ``(accents,)``. With
        ``phones`` ``(batch, frames)``, ``phone_weight`` times :func:`phone_loss` is added."""
        encoded, steps = self.encode(log_mels, lengths)
        cosines = self.cosines(self.embed_pooled(self.pool(encoded, steps)[0]))
        logits = self.am_softmax.scale * cosines
        if targets is None:
            return logits, None
        loss = F.cross_entropy(self.am_softmax.margin_logits(cosines, targets, step), targets, class_weights)
        if phones is not None:
            second = phone_loss(self.phone_layer(encoded), phones, self.config.frames_a_step)
            loss = loss + self.config.phone_weight * second
        return logits, loss

    def phone_probabilities(self, log_mels: Tensor, lengths: Lengths = None) -> Tensor:
        """Phone probabilities ``(batch, steps, phones)`` of a model that learned phones."""
        return self.hear(self.encode(log_mels, lengths)[0])


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and afterwards each of its modules back into its own mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
