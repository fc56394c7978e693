"""What is measured on validation utterances: classification figures, and EER where it is wanted."""

import math

import numpy as np
import pandas as pd

from ..config import Config, InputError
from ..corpora.table import select
from ..embeddings.inference import forward_log_mels
from ..embeddings.metrics import NAMES, accent_scores, classification_metrics, equal_error_rate, table_scores
from ..features.store import FeatureStore
from ..network.accent_net import AccentNet
from .processes import gather, rank, world_size


class Validation:
    """The validation split of a corpus, and pairs of utterances where there are some.

    Parameters
    ----------
    store : FeatureStore
        Features of every utterance that is asked for.
    table : pandas.DataFrame
        A corpus; its split validation is used.
    pairs : pandas.DataFrame, optional
        Columns a, b (paths) and client (:func:`accentlib.published.lists.read_pairs`), for EER.
    config : Config
        Its ``criterion`` decides what is needed.

    Raises InputError if what the criterion needs is not there.
    """

    def __init__(self, store: FeatureStore, table: pd.DataFrame, pairs: pd.DataFrame | None, config: Config):
        self.criterion = config.criterion
        self.rows = table[table["split"] == "validation"]
        self.pairs = pairs
        if self.criterion == "macro_f1":
            self.rows = select(table, "validation")
        elif pairs is None and "speaker" not in table:
            raise InputError("criterion eer needs pairs (clients and impostors), or a table with speakers")
        paths = list(self.rows["path"])
        if pairs is not None:
            self.pairs = pairs[
                [a in store and b in store for a, b in zip(pairs["a"], pairs["b"], strict=True)]
            ]
            paths += [*self.pairs["a"], *self.pairs["b"]]
        self.paths = list(dict.fromkeys(paths))
        self.log_mels = [store[path] for path in self.paths]  # views: read when they are measured

    def measure(self, model: AccentNet) -> tuple[dict[str, float], list[str]]:
        """The figures (NaN: not measured), and the accent that is predicted of each labelled row."""
        embeddings, logits = self.forward_shared(model)
        place = {path: i for i, path in enumerate(self.paths)}
        own = [place[path] for path in self.rows["path"]]
        predicted = np.asarray(model.labels)[logits[own].argmax(axis=1)].tolist()
        figures = dict.fromkeys(NAMES, math.nan)
        if own:
            metrics = classification_metrics(self.rows["accent"], predicted, model.labels)
            figures |= {name: metrics[name] for name in NAMES if name in metrics}
        if self.pairs is not None:
            scores = table_scores(self.pairs, self.paths, embeddings)
            clients = self.pairs["client"].to_numpy()
            figures["eer"] = equal_error_rate(scores[clients], scores[~clients])
        elif self.criterion == "eer":
            figures["eer"] = equal_error_rate(*accent_scores(embeddings[own], self.rows))
        return figures, predicted

    def forward_shared(self, model: AccentNet) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings and logits of all utterances; each process computes its share of them."""
        parts = gather(forward_log_mels(model, self.log_mels[rank() :: world_size()]))
        own = np.argsort(
            np.concatenate([np.arange(i, len(self.paths), len(parts)) for i in range(len(parts))])
        )
        return tuple(np.concatenate(arrays)[own] for arrays in zip(*parts, strict=True))

    def score(self, figures: dict[str, float]) -> float:
        """What the best model is best in; more is better.

        Raises InputError if EER is wanted, and all pairs belong together or none does.
        """
        if self.criterion == "macro_f1":
            return figures["macro_f1"]
        if math.isnan(figures["eer"]):
            raise InputError("criterion eer needs pairs that belong together and pairs that do not")
        return 1 - figures["eer"]
