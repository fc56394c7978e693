"""Whether reasons are true: does an answer lose what ``accentlib.explain`` says, if a phone is hidden in the recording?

    python data/comparisons/reasons.py RUN --data CORPUS --speakers 3

RUN is the ``--out_dir`` of ``accentlib crossvalidate`` with networks that learned phones. For so many unseen speakers of each
accent and fold, all frames of one phone after the other (the likeliest by the network's own ear) are replaced by the mean of
the others, and the fall of the log-odds of the true accent is compared with the reason: Spearman's rank correlation over the
phones of a speaker. Prints means by accent, and the phones with the largest mean reasons.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from elsewhere import networks
from scipy.stats import spearmanr

from accentlib import explain, file_log_mel, normalise, read_corpus, select
from accentlib.corpora.splits import fold_splits
from accentlib.embeddings.inference import forward_log_mels


def hidden(log_mels: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Replace masked frames ``(frames,)`` of log-mels ``(frames, mels)`` with the mean of the rest."""
    if not frames.any() or frames.all():
        return log_mels
    return np.where(frames[:, None], log_mels[~frames].mean(axis=0, dtype=np.float32), log_mels)


def log_odds(model, log_mels: list[np.ndarray], accent: str) -> np.ndarray:
    """Log-odds of an accent in recordings ``(recordings,)``."""
    logits = forward_log_mels(model, log_mels)[1].astype(np.float64) / model.calibration.temperature
    own = model.labels.index(accent)
    return logits[:, own] - np.log(np.exp(np.delete(logits, own, axis=1)).sum(axis=1))


def falls(model, path: str, accent: str) -> pd.Series:
    """By phone, how far the log-odds of ``accent`` fall if the phone is hidden."""
    log_mels = file_log_mel(path, model.config)
    with torch.inference_mode():
        heard = model.phone_probabilities(torch.from_numpy(normalise(log_mels))[None])[0].argmax(1).numpy()
    of_frame = np.repeat(heard, model.config.frames_a_step)[: len(log_mels)]
    phones = sorted(set(heard))
    changed = [log_mels, *(hidden(log_mels, of_frame == phone) for phone in phones)]
    odds = log_odds(model, changed, accent)
    return pd.Series(odds[0] - odds[1:], [model.phones[i] for i in phones])


def main() -> None:
    """Explain, hide, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--ensembles", action="store_true", help="of all seeds, instead of each network")
    parser.add_argument("--speakers", type=int, default=3, help="of each accent and fold")
    given = parser.parse_args()
    corpus, agreement, reasons = read_corpus(given.data, split=False), [], []
    for model, fold, _ in networks([given.run], given.ensembles):
        test = select(fold_splits(corpus, fold, 5), "test").groupby("accent").head(given.speakers)
        for path, accent in zip(test["path"], test["accent"], strict=True):
            said = explain(model, path, accent)
            reasons.append(said)
            both = said.set_index("phone")[["reason"]].join(
                falls(model, path, accent).rename("fall"), how="inner"
            )
            agreement.append({"accent": accent, "correlation": spearmanr(both["reason"], both["fall"])[0]})
        means = pd.DataFrame(agreement).groupby("accent")["correlation"].agg(["mean", "count"])
        print(means.round(2).to_string(), f"\nmean over accents {means['mean'].mean():.2f}", flush=True)
    said = pd.concat(reasons).groupby(["accent", "ipa"])["reason"].mean()
    for accent, own in said.groupby("accent"):
        best = own.droplevel("accent").nlargest(5)
        print(accent, ", ".join(f"{phone} {reason:.2f}" for phone, reason in best.items()))


if __name__ == "__main__":
    main()
