"""Embeddings as a step of a scikit-learn pipeline."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..network.checkpoint import load_model
from .inference import Clips, embed


class AccentEmbedder(TransformerMixin, BaseEstimator):
    """Recordings to embeddings; nothing is learned by ``fit``, which loads the model.

    Parameters
    ----------
    checkpoint : str
        As in :func:`accentlib.load_model`."""

    def __init__(self, checkpoint: str = "real_speech"):
        self.checkpoint = checkpoint

    def fit(self, X: Clips, y: Any = None) -> "AccentEmbedder":
        """Load the model. Raises InputError if it is unreadable."""
        self.model_ = load_model(self.checkpoint)
        return self

    def transform(self, X: Clips) -> np.ndarray:
        """Embeddings ``(clips, embedding)`` of clips, as of :func:`accentlib.embed`."""
        check_is_fitted(self)
        return embed(self.model_, X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """``accent0``, ``accent1`` and so on."""
        check_is_fitted(self)
        size = self.model_.size * self.model_.config.embedding_size
        return np.array([f"accent{i}" for i in range(size)], dtype=object)
