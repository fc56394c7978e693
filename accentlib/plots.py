"""Pictures. Each function takes ``ax=None``, draws on it or on a new one, and returns it."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, Patch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from .config import SPLITS, counted
from .corpora.phones import ipa
from .embeddings.metrics import NAMES
from .features.log_mel import mel_edges

MARKERS = "osD^vp*<>hXPd"
COLOURS = sns.color_palette("colorblind")


def palette(names: Sequence[str]) -> dict[str, tuple]:
    """A colour a name: seaborn's ten colour-blind-safe ones, the most alike last; more than ten get hues."""
    if len(names) > 10:
        return dict(zip(names, sns.color_palette("husl", len(names)), strict=True))
    return {name: COLOURS[i] for name, i in zip(names, (0, 1, 2, 4, 9, 3, 8, 7, 5, 6), strict=False)}


def plot_log_mel(log_mels: np.ndarray, *, sample_rate: int = 16_000, hop_seconds: float = 0.010,
                 ax: Axes | None = None) -> Axes:  # fmt: skip
    """Log-mels ``(frames, mels)`` of audio of ``sample_rate`` Hz as an image: time in s, frequency in Hz."""
    ax, bands = ax or plt.subplots(figsize=(9, 2.5))[1], log_mels.shape[1]
    extent = (0, len(log_mels) * hop_seconds, 0, bands)
    ax.imshow(log_mels.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    ax.grid(False)
    marked = [f for f in (250, 500, 1000, 2000, 4000, 8000) if f < 0.51 * sample_rate]
    places = np.interp(marked, mel_edges(sample_rate, bands)[1:], np.arange(bands + 1) + 0.5)  # band centres
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)", yticks=places.clip(max=bands), yticklabels=marked)
    return ax


def plot_attention(weights: np.ndarray, *, seconds_a_step: float, ax: Axes | None = None) -> Axes:
    """Attention ``(steps, heads)`` over time as an image, a row a head, or ``(steps,)`` as one strip. A value
    of 1 is uniform attention: what each step would get if all got the same."""
    rows = np.atleast_2d(weights.T)  # (heads, steps)
    ax = ax or plt.subplots(figsize=(9, 0.9 + 0.2 * len(rows)))[1]
    extent = (0, rows.shape[1] * seconds_a_step, len(rows) + 0.5, 0.5)
    image = ax.imshow(rows * rows.shape[1], aspect="auto", cmap="Greys", vmin=0, extent=extent)
    ax.figure.colorbar(image, ax=ax, label="attention\n(1: uniform)", aspect=8)
    ax.grid(False)
    heads = range(1, len(rows) + 1) if weights.ndim > 1 else []
    ax.set(xlabel="time (s)", ylabel="head" if heads else "", yticks=heads)
    return ax


def plot_phones(shares: np.ndarray, names: Sequence[str], seconds: float, *, most: int = 20,
                ax: Axes | None = None) -> Axes:  # fmt: skip
    """The share ``(steps, phones)`` of each step of a recording of so many ``seconds`` that pooling by phones
    gives to each phone: a row for each of the ``most`` heard ones, in IPA, in the order of first hearing."""
    shown = shares.sum(axis=0).argsort()[::-1][:most]
    shown = shown[(shares > shares.max(axis=0) / 2).argmax(axis=0)[shown].argsort(kind="stable")]
    ax = ax or plt.subplots(figsize=(9, 0.6 + 0.22 * len(shown)))[1]
    extent = (0, seconds, len(shown) - 0.5, -0.5)
    ax.imshow(shares[:, shown].T, aspect="auto", cmap="Blues", vmin=0, vmax=1, extent=extent)
    ax.set(xlabel="time (s)", ylabel="phone", yticks=range(len(shown)))
    ax.set_yticklabels(ipa([names[i] for i in shown]))
    return ax


def plot_history(history: pd.DataFrame, *, chance: float | None = None, ax: Axes | None = None) -> Axes:
    """Training curves over epochs: validation figures on the left axis, training loss on the right."""
    ax = ax or plt.subplots(figsize=(7, 3.5))[1]
    epochs, marker = history["epoch"], "o" if len(history) == 1 else ""  # one point has no line
    ax.plot(epochs, history["balanced_accuracy"], c=COLOURS[0], marker=marker, label="balanced accuracy")
    if chance is not None:
        ax.axhline(chance, color="0.5", ls=":", label=f"chance {chance:.1%}")
    ax.set(xlabel="epoch", ylim=(0, 1.02))
    ax.set_ylabel("balanced accuracy\nof validation speakers", color=COLOURS[0])
    loss = ax.twinx()
    loss.plot(epochs, history["loss"], color=COLOURS[1], lw=1, label="training loss")
    loss.set(ylim=(0, None))
    loss.set_ylabel("training loss", color=COLOURS[1])
    loss.grid(False)
    lines = [*ax.get_lines(), *loss.get_lines()]
    ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=4, frameon=False)
    return ax


def plot_confusion(truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str], *,
                   ax: Axes | None = None) -> Axes:  # fmt: skip
    """Confusion matrix: the share of each accent's clips (row) that was predicted as each accent (column)."""
    counts = confusion_matrix(truth, predicted, labels=list(labels))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    width = 1.5 + 0.6 * len(labels)
    ax = ax or plt.subplots(figsize=(width + 0.8, width))[1]
    style = {"cmap": "Blues", "square": True, "cbar": False, "linewidths": 0.5, "annot_kws": {"size": 9}}
    names = {"xticklabels": labels, "yticklabels": labels}
    sns.heatmap(shares, annot=True, fmt=".0%", vmin=0, vmax=1, ax=ax, **names, **style)
    ax.set(xlabel="predicted accent", ylabel="true accent")
    ax.tick_params(axis="x", rotation=45)
    ax.tick_params(axis="y", rotation=0)
    return ax


def label_phones(phones: pd.DataFrame, ax: Axes) -> Axes:
    """Write the phones of a clip (rows of a phone table) in IPA above a plot over time, with their starts."""
    named = phones[["start", "end"]].assign(phone=ipa(list(phones["phone"])))
    for start, end, phone in named.itertuples(index=False):
        ax.axvline(start, color="0.6", lw=0.4, alpha=0.6)
        middle, above = (start + end) / 2, ax.get_xaxis_transform()
        ax.text(middle, 1.01, phone, transform=above, ha="center", va="bottom", fontsize=10, clip_on=False)
    return ax


def plot_vowels(table: pd.DataFrame, *, colour: tuple | str = COLOURS[0], ax: Axes | None = None) -> Axes:
    """Vowels by their formants, columns F1 and F2 of ``table``: a point each, and for each phone (column
    ``phone``, IPA) its name and an ellipse of one deviation. As in phonetics, both axes run backwards."""
    ax = ax or plt.subplots(figsize=(4.5, 4))[1]
    for phone, own in table.groupby("phone"):
        points = own[["F2", "F1"]].to_numpy()
        ax.plot(*points.T, ".", color=colour, ms=3, alpha=0.35)
        middle = points.mean(axis=0)
        ax.annotate(phone, middle, (0, 6), textcoords="offset points", ha="center", fontsize=13)
        if len(points) > 2:
            sizes, directions = np.linalg.eigh(np.cov(points.T))
            wide, high = 2 * sizes.clip(min=0) ** 0.5
            angle = np.degrees(np.arctan2(*directions[::-1, 0]))
            ax.add_patch(Ellipse(middle, wide, high, angle=angle, fc="none", ec=colour, lw=1.5))
    ax.set(xlabel="F2 (normalised)", ylabel="F1 (normalised)")
    ax.xaxis.set_inverted(True)
    ax.yaxis.set_inverted(True)
    return ax


def plot_phone_attention(table: pd.DataFrame, *, most: int = 12, ax: Axes | None = None) -> Axes:
    """The ``most`` most and least attended phones as bars; a line marks even attention.
    ``table`` is :func:`accentlib.attention_by_phone`."""
    shown = pd.concat([table.head(most), table.tail(most)]).drop_duplicates("phone")
    ax = ax or plt.subplots(figsize=(9, 3))[1]
    names = pd.Series(ipa(list(table["phone"])), table.index)[shown.index]
    colours = [COLOURS[0] if x > 1 else "0.7" for x in shown["all"]]
    ax.bar(range(len(shown)), shown["all"], color=colours)  # several phones may have the same name in IPA
    ax.axhline(1, color="0.3", ls="--", lw=1)
    ax.set(xlabel="phone", ylabel="attention\n(1: even)", xticks=range(len(shown)), xticklabels=names)
    return ax


def plot_reasons(table: pd.DataFrame, *, most: int = 8, ax: Axes | None = None) -> Axes:
    """The ``most`` phones that speak most for an answer, or against it, as bars, strongest on top.
    ``table`` is :func:`accentlib.explain`; behind each phone, the seconds of it that were heard."""
    shown = table.loc[table["reason"].abs().nlargest(most).index].sort_values("reason")
    ax = ax or plt.subplots(figsize=(5, 0.8 + 0.3 * len(shown)))[1]
    colours = [COLOURS[0] if x > 0 else "0.7" for x in shown["reason"]]
    ax.barh(range(len(shown)), shown["reason"], color=colours)  # several phones may have the same name in IPA
    ax.axvline(0, color="0.3", lw=1)
    names = [f"{phone}  {heard:.1f} s" for phone, heard in shown[["ipa", "seconds"]].itertuples(index=False)]
    ax.set(yticks=range(len(shown)), yticklabels=names, ylabel="phone, seconds heard")
    ax.set_xlabel(f"fall of the log-odds of {table['accent'].iloc[0]}\nif the phone is left out (nats)")
    return ax


def plot_windows(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Which accent a recording resembles, when: of :func:`accentlib.predict_windows`, the probabilities
    stacked over time, hatched where a window is unlike anything that the model knows."""
    ax = ax or plt.subplots(figsize=(10, 3), layout="constrained")[1]
    columns = [name for name in table if name.startswith("p:")]
    below, width = np.zeros(len(table)), table["end"] - table["start"]
    for name, colour in palette([name[2:] for name in columns]).items():
        ax.bar(table["start"], table[f"p:{name}"], width, below, color=colour, align="edge", label=name)
        below += table[f"p:{name}"]
    unknown = table[table["probability"].isna()]
    kind: dict = (
        {"color": "none", "hatch": "///", "ec": "0.2", "lw": 0, "label": "unlike"} if len(unknown) else {}
    )
    ax.bar(unknown["start"], 1, unknown["end"] - unknown["start"], align="edge", **kind)
    ax.set(xlabel="time (s)", ylabel="probability", ylim=(0, 1), xlim=(0, table["end"].max()))
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def project_tsne(embeddings: np.ndarray, *, perplexity: float = 30.0,
                 seed: int = 0) -> tuple[np.ndarray, str]:  # fmt: skip
    """t-SNE by cosine of at least four embeddings: points ``(clips, 2)``, and the caption that they need.
    The perplexity is at most ``(clips - 1) / 3``."""
    perplexity = min(perplexity, (len(embeddings) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=seed)
    caption = f"one point = one clip; n = {len(embeddings)}, t-SNE, cosine"
    caption += f", perplexity {perplexity:.3g}, seed {seed}"
    return tsne.fit_transform(embeddings.astype(np.float64)), caption  # float64 as in cosine_scores


def place_beside(embeddings: np.ndarray, points: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Places of new embeddings ``(new, embedding)`` on a map drawn without them: ``(new, 2)``.
    t-SNE cannot place new points. Each goes to the medoid of its five nearest neighbours by cosine; their
    mean could lie among points unlike it."""
    search = NearestNeighbors(n_neighbors=min(5, len(points)), metric="cosine")
    search.fit(embeddings.astype(np.float64))
    places = points[search.kneighbors(new.astype(np.float64), return_distance=False)]  # (new, 5, 2)
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1).sum(axis=2)  # (new, 5)
    return places[np.arange(len(places)), apart.argmin(axis=1)]


def project_pca(embeddings: np.ndarray) -> tuple[np.ndarray, str]:
    """First two principal components of embeddings scaled to length 1, ``(clips, 2)``, and a caption."""
    caption, points = f"one point = one clip; n = {len(embeddings)}, PCA", np.zeros((len(embeddings), 2))
    vectors = normalize(embeddings.astype(np.float64))
    if not np.ptp(vectors, axis=0).any():  # one clip, or all alike
        return points, caption
    pca = PCA(n_components=min(2, *vectors.shape)).fit(vectors)
    points[:, : pca.n_components_] = pca.transform(vectors)
    return points, f"{caption}, {pca.explained_variance_ratio_.sum():.0%} of the variance"


def plot_tsne(points: np.ndarray, names: Sequence[str], *, caption: str = "", legend_title: str = "accent",
              ax: Axes | None = None) -> Axes:  # fmt: skip
    """Points ``(clips, 2)`` with a colour and a marker for each name, and the caption below."""
    ax = ax or plt.subplots(figsize=(7, 5.5))[1]
    kinds = sorted(set(names))
    for i, (kind, colour) in enumerate(palette(kinds).items()):
        x, y = points[np.asarray(names) == kind].T
        marker = MARKERS[i % len(MARKERS)]
        ax.scatter(x, y, s=24, color=colour, marker=marker, label=kind, linewidths=0.3, edgecolors="white")
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(caption, fontsize=8)
    ncols = 1 + len(kinds) // 16
    ax.legend(title=legend_title, ncols=ncols, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return ax


def plot_minutes(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Minutes of each accent as a bar of pieces, one a speaker, coloured by split; their number at its end.
    ``table`` is a corpus with a column ``seconds``, as :func:`accentlib.make_corpus` writes it."""
    minutes = table.assign(minutes=table["seconds"].astype(float) / 60)
    amounts = minutes.groupby(["accent", "split", "speaker"])["minutes"].sum()
    accents = sorted(set(table["accent"]), reverse=True)
    ax = ax or plt.subplots(figsize=(8, 1 + 0.45 * len(accents)))[1]
    colours = palette(SPLITS)
    for row, accent in enumerate(accents):
        of, left = amounts[accent], 0.0
        for split in SPLITS:
            for length in sorted(of[split], reverse=True) if split in of else ():
                ax.barh(row, length, left=left, color=colours[split], edgecolor="white", linewidth=1.2)
                left += length
        speakers = of.index.get_level_values("speaker").nunique()
        ax.text(left, row, f" {counted(speakers, 'speaker')}", va="center", fontsize=9)
    handles = [Patch(color=colours[split], label=split) for split in SPLITS]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=3, frameon=False)
    ax.set(xlabel="minutes; one piece = one speaker", yticks=range(len(accents)), yticklabels=accents)
    ax.set_xlim(0, 1.2 * ax.dataLim.x1)
    return ax


def plot_comparison(rows: pd.DataFrame, figure: str = "eer", *, ax: Axes | None = None) -> Axes:
    """One figure of a comparison of poolings: dots for seeds, bars for means, whiskers for the deviation.
    ``rows`` are those of :func:`accentlib.compare`; a dotted line marks chance where it is in range."""
    ax = ax or plt.subplots(figsize=(5.5, 3.5))[1]
    names = list(dict.fromkeys(rows["pooling"]))
    for i, (name, colour) in enumerate(palette(names).items()):
        values = rows.loc[rows["pooling"] == name, figure]
        ax.bar(i, values.mean(), yerr=values.std(), color=colour, alpha=0.35, width=0.6, capsize=6)
        spread = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(1)
        ax.plot(i + spread, values, "o", color=colour, mec="white", mew=0.5)
    chance = 0.5 if figure == "eer" else rows["chance"].iloc[0]
    if chance < 1.2 * rows[figure].max():
        ax.axhline(chance, color="0.5", ls=":", lw=1)
    ax.set(ylabel=NAMES[figure], xticks=range(len(names)), xticklabels=names)
    ax.yaxis.set_major_formatter("{x:.0%}")
    return ax
