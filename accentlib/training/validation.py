"""Metrics on whole validation clips: classification, and EER where it is needed."""

import math

import numpy as np
import pandas as pd

from ..config import Config, InputError
from ..corpora.table import select
from ..embeddings.inference import forward_log_mels
from ..embeddings.metrics import NAMES, accent_scores, classification_metrics, equal_error_rate, table_scores
from ..features.store import FeatureStore, clip_ids
from ..network.accent_net import AccentNet
from .processes import gather, rank, world_size


class Validation:
    """The validation split of a corpus, and pairs of clips for EER (columns a and b: ids, client: bool)."""

    def __init__(self, store: FeatureStore, table: pd.DataFrame, pairs: pd.DataFrame | None, config: Config):
        self.criterion, self.pairs = config.criterion, pairs
        own = table[table["split"] == "validation"]  # with pairs, there may be none
        self.rows = own if self.criterion == "eer" else select(table, "validation")
        if self.criterion == "eer" and pairs is None and "speaker" not in table:
            raise InputError("criterion eer needs pairs (clients and impostors), or a table with speakers")
        ids = clip_ids(self.rows)
        if pairs is not None:
            self.pairs = pairs[pairs[["a", "b"]].map(store.__contains__).all(axis=1)]
            ids += [*self.pairs["a"], *self.pairs["b"]]
        self.ids = list(dict.fromkeys(ids))
        self.log_mels = [store[clip] for clip in self.ids]  # views: read when they are measured

    def measure(self, model: AccentNet) -> dict[str, float]:
        """All metrics of :data:`NAMES`, NaN if not measured; each process computes its share of the clips."""
        parts = gather(forward_log_mels(model, self.log_mels[rank() :: world_size()]))
        order = np.argsort([k for i in range(len(parts)) for k in range(len(self.ids))[i :: len(parts)]])
        embeddings, logits, _ = (np.concatenate(arrays)[order] for arrays in zip(*parts, strict=True))
        own = pd.Index(self.ids).get_indexer(clip_ids(self.rows))
        figures = dict.fromkeys(NAMES, math.nan)
        if len(own):
            predicted = np.asarray(model.labels)[logits[own].argmax(axis=1)].tolist()
            metrics = classification_metrics(self.rows["accent"], predicted, model.labels)
            figures |= {name: metrics[name] for name in NAMES if name in metrics}
        if self.pairs is not None:
            scores, clients = table_scores(self.pairs, self.ids, embeddings), self.pairs["client"].to_numpy()
            figures["eer"] = equal_error_rate(scores[clients], scores[~clients])
        elif self.criterion == "eer":
            figures["eer"] = equal_error_rate(*accent_scores(embeddings[own], self.rows))
        return figures

    def score(self, figures: dict[str, float]) -> float:
        """The criterion, higher is better; raises InputError for EER without pairs of both kinds."""
        if self.criterion == "eer" and math.isnan(figures["eer"]):
            raise InputError("criterion eer needs pairs that belong together and pairs that do not")
        return 1 - figures["eer"] if self.criterion == "eer" else figures["macro_f1"]
