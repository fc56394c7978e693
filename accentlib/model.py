"""Log-mels to an accent embedding: front end, pooling, two fully connected layers, AM-Softmax."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from .config import Config, InputError, reason
from .distributed import BatchNorm1d
from .files import fingerprint
from .front_end import frame_mask, make_front_end
from .loss import AMSoftmax, sound_loss
from .pooling import Weights, make_pooling


class AccentNet(nn.Module):
    """Front end, pooling, embedding block and AM-Softmax.

    Parameters
    ----------
    config : Config
        Front end, pooling and sizes.
    labels : list of str
        Accent names; the position in the list is the class number.
    sounds : list of str
        Names of the sounds (phones) that the front end learns to name as well; often none.
    """

    def __init__(self, config: Config, labels: list[str], sounds: Sequence[str] = ()):
        super().__init__()
        self.config, self.labels, self.sounds = config, list(labels), list(sounds)
        self.temperature, self.window_gain, self.unsure_below = 1.0, 0.0, 0.0  # calibration sets them
        # fingerprints of the clips that it was trained on; None where that is not known
        self.trained_on: frozenset[int] | None = frozenset()
        size = config.embedding_size
        self.front_end = make_front_end(config)
        self.pooling = make_pooling(
            config.pooling_method, config.encoder_size, config.heads_number, config.mask_prob
        )
        self.fc1 = nn.Linear(self.pooling.output_size, size)
        self.fc2 = nn.Linear(size, size)
        self.norm = BatchNorm1d(size)
        self.fc3 = nn.Linear(size, size)
        self.am_softmax = AMSoftmax(
            size, len(labels), config.scaling_factor, config.margin_factor, config.annealing
        )
        if self.sounds:
            self.sound_layer = nn.Linear(config.encoder_size, len(self.sounds))
        self.to(memory_format=torch.channels_last)

    def encode(
        self, log_mels: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The front end's output ``(batch, frames / 8, 16 or 32, size)`` and its lengths.

        Parameters
        ----------
        log_mels : torch.Tensor
            ``(batch, frames, mels)``, normalised.
        lengths : torch.Tensor, optional
            ``(batch,)``, frames of each utterance; None: nothing is padded.
        """
        if lengths is not None:
            lengths = torch.as_tensor(lengths, device=log_mels.device)
        encoded, lengths = self.front_end(log_mels, lengths)
        if lengths is None:
            lengths = torch.full(encoded.shape[:1], encoded.shape[1], device=encoded.device)
        return encoded, lengths

    def attend(
        self, log_mels: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Weights]:
        """The embedding ``(batch, embedding)`` and the attention weights that made it."""
        return self.pool(*self.encode(log_mels, lengths))

    def pool(self, encoded: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, Weights]:
        """As :meth:`attend`, of the front end's output and its lengths."""
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
        class_weights: torch.Tensor | None = None,
        sounds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The AM-Softmax loss of a training batch after ``step`` updates, a scalar.

        With ``class_weights`` ``(accents,)`` it is the weighted mean over the batch. With ``sounds``
        ``(batch, frames)``, numbers of sounds, the loss of naming them (:func:`accentlib.loss.sound_loss`)
        is added ``sound_weight`` times.
        """
        encoded, lengths = self.encode(log_mels, lengths)
        cosines = self.cosines(self.pool(encoded, lengths)[0])
        loss = F.cross_entropy(self.am_softmax.margin_logits(cosines, targets, step), targets, class_weights)
        if sounds is None:
            return loss
        return loss + self.config.sound_weight * sound_loss(
            self.sound_layer(encoded), sounds, self.config.frames_a_step
        )

    def name_sounds(self, log_mels: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Probabilities of the sounds ``(batch, frames / 8, 16 or 32, sounds)``, of a model that has some."""
        return self.sound_layer(self.encode(log_mels, lengths)[0]).float().softmax(dim=-1)


def known_clips(model: AccentNet, paths: Iterable[str]) -> int | None:
    """How many of these files the model was trained on; None if it does not know."""
    if model.trained_on is None:
        return None
    return sum(fingerprint(path) in model.trained_on for path in paths)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and afterwards each of its modules back into the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


class _Undrawn(TorchFunctionMode):
    """Leaves weights undrawn: to draw normal numbers that have no memory, torch imports its compiler (2 s)."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return args[0] if func is torch.Tensor.normal_ else func(*args, **(kwargs or {}))


def empty_model(config: Config, labels: list[str], sounds: Sequence[str] = ()) -> AccentNet:
    """A model without memory for its weights, which :func:`load_weights` is to bring.

    Raises InputError if the configuration's sizes are beyond any memory.
    """
    try:
        with torch.device("meta"), _Undrawn():
            return AccentNet(config, labels, sounds)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"no model has such sizes ({reason(error)})") from None


def load_weights(model: AccentNet, weights: dict[str, torch.Tensor], *, name: str) -> None:
    """Put weights into a model; ``name`` is what an error calls them.

    Raises InputError if they are of another shape; both shapes are named.
    """
    wanted = model.state_dict()
    for key in dict.fromkeys([*wanted, *weights]):
        here = tuple(wanted[key].shape) if key in wanted else "no such weight"
        there = tuple(weights[key].shape) if key in weights else "no such weight"
        if here != there:
            raise InputError(f"{name}: {key} is {there} in the checkpoint and {here} in the model")
    if next(model.parameters()).is_meta:  # memory only for what is there, whatever sizes are claimed
        model.to_empty(device="cpu")
    model.load_state_dict(weights)
