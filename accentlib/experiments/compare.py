"""The paper's comparison: poolings under one budget, over several seeds."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ..config import PAPER_POOLINGS, POOLINGS, Config
from ..corpora.table import read_corpus, select
from ..embeddings.evaluate import evaluate_table
from ..embeddings.metrics import accent_scores, classification_metrics, equal_error_rate, speaker_interval
from ..files import write_table
from ..network.checkpoint import load_model
from ..plots import plot_comparison
from .baselines import tested_on
from .grid import Grid, read_results
from .recipe import phones_for

PROPOSED = "DoubleMHA"  # the paper's pooling, which the others are compared with
FIGURES = ["macro_f1", "balanced_accuracy", "eer"]


def compare(data: str | Path, config: Config, out_dir: str | Path, *, seeds: Sequence[int] = (1, 2, 3),
            poolings: Sequence[str] = PAPER_POOLINGS, progress: bool = True) -> pd.DataFrame:  # fmt: skip
    """Train every pooling with every seed, all else as in ``config``; test all on the same unseen speakers.

    Parameters
    ----------
    out_dir : str or Path
        Receives ``comparison.csv``, one row per training, and each training's folder with its
        ``predictions.csv``. Rows that are there are not trained again.
    seeds : sequence of int
        Each sets the split (if the corpus has none), the initial weights and the order of clips.

    Returns those rows; ``eer`` is of all pairs of test clips by different speakers: same accent or not.
    Raises InputError if ``out_dir`` holds a comparison of other data or another configuration."""
    for pooling in poolings:
        config.replace(pooling_method=pooling)  # raises its errors before anything is computed
    grid, rows = Grid(out_dir, data, config, progress), pd.DataFrame()
    phones = phones_for(read_corpus(data, split=False), data, config, out_dir)
    for seed in seeds:
        table = read_corpus(data, seed=seed)
        for pooling in poolings:
            key, file = {"pooling": pooling, "seed": seed}, grid.out_dir / "comparison.csv"
            rows = grid.cell(file, key, _train_and_test, grid, table, config, key, phones)
    return rows


def _train_and_test(grid, table, config, key, phones) -> pd.DataFrame:
    config = config.replace(pooling_method=key["pooling"], seed=key["seed"])
    trainer = grid.train(table, config, grid.out_dir / f"{key['pooling']}-{key['seed']}", phones)
    model = load_model(trainer.out_dir / "best.pt").to(trainer.device)
    test, answers, figures = evaluate_table(model, select(trainer.table, "test"), store=trainer.store)
    del figures["few_speakers"]
    figures["balanced_accuracy_low"], figures["balanced_accuracy_high"] = figures.pop("interval")
    figures["eer"] = equal_error_rate(*accent_scores(answers.embeddings, test))
    predictions = test[["id", "speaker", "accent"]].assign(predicted=answers.accents)
    write_table(trainer.out_dir / "predictions.csv", predictions)
    figures["best_epoch"] = max(trainer.history, key=trainer.validation.score)["epoch"]
    return pd.DataFrame([key | figures | {"seconds": round(trainer.seconds, 1)}])


def differences(rows: pd.DataFrame, out_dir: str | Path) -> dict[str, tuple[float, tuple[float, float]]]:
    """The balanced accuracy of double attention less that of each other pooling in ``out_dir``, over all
    seeds, and its 95 % interval over speakers, paired by speaker."""
    wide: dict = {}  # clips of all seeds, by pooling
    for pooling, seed in rows[["pooling", "seed"]].itertuples(index=False):
        if (file := Path(out_dir, f"{pooling}-{seed}", "predictions.csv")).is_file():  # 0.1 kept none
            table = read_results(file).assign(seed=seed).set_index(["seed", "id"])
            wide[pooling] = [*wide.get(pooling, []), table]
    ours, found = wide.pop(PROPOSED, []), {}
    for pooling, others in wide.items() if ours else ():
        both = pd.concat(ours).join(pd.concat(others)["predicted"].rename("other"), how="inner")
        truth, labels = both["accent"].to_numpy(), sorted(set(both["accent"]))
        x, y = both["predicted"].to_numpy(), both["other"].to_numpy()
        a, b = (classification_metrics(truth, of, labels)["balanced_accuracy"] for of in (x, y))
        found[pooling] = a - b, speaker_interval(truth, x, both["speaker"], than=y)
    return found


def comparison_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of macro F1, balanced accuracy and EER, one row per pooling."""
    groups = rows.groupby("pooling")[FIGURES]
    table = groups.agg(["mean", "std"]).loc[[name for name in POOLINGS if name in groups.groups]]
    table.columns = [f"{figure}_{statistic}" for figure, statistic in table.columns]
    return table.assign(seeds=groups.size())


def eer_change(rows: pd.DataFrame) -> pd.DataFrame:
    """The relative change of EER from each other pooling to double attention, as in the paper: mean and
    standard deviation over seeds, one row per pooling; -0.05 is 5 % lower with double attention."""
    eer = rows.pivot(index="seed", columns="pooling", values="eer")
    change = eer.drop(columns=PROPOSED).rdiv(eer[PROPOSED], axis=0) - 1
    return change.agg(["mean", "std"]).T.loc[[name for name in POOLINGS if name in change]]


def report_comparison(rows: pd.DataFrame, out_dir: str | Path) -> str:
    """The comparison as text: the table, the size of the test, and what double attention changes."""
    table = comparison_table(rows)
    percent = table.drop(columns="seeds").map("{:.1%}".format)
    text = {name: percent[f"{name}_mean"] + " ± " + percent[f"{name}_std"] for name in FIGURES}
    lines = [pd.DataFrame(text).assign(seeds=table["seeds"]).to_string(), tested_on(rows.iloc[0])]
    if PROPOSED in table.index:
        for name, mean, std in eer_change(rows).itertuples():
            lines.append(f"EER from {name} to {PROPOSED}: {mean:+.1%} ± {std:.1%} (below 0: lower)")
        for name, (mean, (low, high)) in differences(rows, out_dir).items():
            points = f"{100 * mean:+.1f} points of balanced accuracy ({100 * low:+.1f} to {100 * high:+.1f})"
            lines.append(f"{PROPOSED} beside {name}: {points}, paired by speaker")
    return "\n".join(lines)


def draw_comparison(rows: pd.DataFrame, out_dir: Path) -> None:
    """Write ``comparison.png``: macro F1 and EER side by side."""
    fig = Figure(figsize=(10, 4), layout="constrained")
    for ax, name in zip(fig.subplots(1, 2), ("macro_f1", "eer"), strict=True):
        plot_comparison(rows, name, ax=ax)
    beside = f"{tested_on(rows.iloc[0])}, of EER 50 %"
    fig.suptitle(f"Poolings under one budget, {rows['seed'].nunique()} seeds\n{beside}", fontsize=11)
    fig.savefig(out_dir / "comparison.png", dpi=150)
