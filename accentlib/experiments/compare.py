"""The paper's comparison: poolings under one budget, over several seeds."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..config import POOLINGS, Config, InputError, counted
from ..corpora.phones import wanted_phones
from ..corpora.table import read_corpus, select
from ..embeddings.evaluate import evaluate_table
from ..embeddings.metrics import accent_scores, equal_error_rate
from ..files import replacing, write_table
from ..network.checkpoint import load_model
from ..training.loop import Trainer

OURS = "DoubleMHA"


def compare(
    data: str | Path,
    config: Config,
    out_dir: str | Path,
    *,
    seeds: Sequence[int] = (1, 2, 3),
    poolings: Sequence[str] = POOLINGS,
    progress: bool = True,
) -> pd.DataFrame:
    """Train every pooling with every seed, and test each on the same unseen speakers.

    A seed gives the split (where the corpus has none of its own), the first weights and the order, and is
    the same for all poolings: what differs within a seed is the pooling alone.

    Parameters
    ----------
    data : str or Path
        A corpus (:func:`accentlib.read_corpus`).
    config : Config
        The budget: everything but ``pooling_method`` and ``seed``.
    out_dir : str or Path
        Receives ``comparison.csv``, a row after each training. Rows that are there already, of the same
        data and configuration, are not trained again.

    Returns
    -------
    pandas.DataFrame
        A row a training: pooling, seed, macro_f1, balanced_accuracy, eer (of all pairs of test clips by
        different speakers: have they the same accent?), epoch of the best validation, seconds, and what
        the figures stand beside (chance, the 95 % interval of balanced accuracy over speakers, speakers, clips).
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    results = out_dir / "comparison.csv"
    check_budget(out_dir / "budget.json", data, config)
    rows = pd.read_csv(results).to_dict("records") if results.is_file() else []
    done = {(row["pooling"], row["seed"]) for row in rows}
    phones = wanted_phones(data, config)
    for seed in seeds:
        table = read_corpus(data, seed=seed)
        for pooling in poolings:
            if (pooling, seed) in done:
                continue
            cell = config.replace(pooling_method=pooling, seed=seed)
            if progress:
                print(f"{pooling}, seed {seed}", file=sys.stderr)
            rows.append(train_and_test(table, cell, out_dir, phones=phones, progress=progress))
            write_table(results, pd.DataFrame(rows))
    return pd.DataFrame(rows)


def check_budget(path: Path, data: str | Path, config: Config, **more: int) -> None:
    """Note data and configuration, or raise an InputError where a comparison with others is noted already."""
    budget = {
        "data": str(Path(data).absolute()),
        **config.to_dict(),
        "pooling_method": "",
        "seed": "",
        **more,
    }
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(budget, indent=1), encoding="utf-8")
        return
    noted = json.loads(path.read_text(encoding="utf-8"))
    changed = [name for name in budget if noted.get(name) != budget[name]]
    if changed:
        raise InputError(
            f"{path}: what is here was made with {changed[0]} {noted.get(changed[0])!r}, not"
            f" {budget[changed[0]]!r}; name another --out_dir"
        )


def train_and_test(
    table: pd.DataFrame,
    config: Config,
    out_dir: Path,
    *,
    phones: pd.DataFrame | None = None,
    progress: bool = True,
) -> dict:
    """Train once; the figures of the best validation's weights on the test split."""
    run_dir = out_dir / f"{config.pooling_method}-{config.seed}"
    shared = out_dir / "features"
    trainer = Trainer(table, config, run_dir, phones=phones, progress=progress, features_dir=shared)
    if (run_dir / "last.pt").is_file():  # stopped before its row was written
        trainer.resume(run_dir / "last.pt")
    trainer.train()
    model = load_model(run_dir / "best.pt").to(trainer.device)
    test = select(trainer.table, "test")
    test, answers, figures = evaluate_table(model, test, store=trainer.store)
    best = max(trainer.history, key=trainer.validation.score)
    low, high = figures.pop("interval")
    del figures["few_speakers"]
    figures |= {"balanced_accuracy_low": low, "balanced_accuracy_high": high}
    figures["eer"] = equal_error_rate(*accent_scores(answers.embeddings, test))
    return {
        "pooling": config.pooling_method,
        "seed": config.seed,
        **figures,
        "best_epoch": best["epoch"],
        "seconds": round(trainer.seconds, 1),
    }


def comparison_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of macro F1, balanced accuracy and EER, a row a pooling."""
    names = [name for name in POOLINGS if name in set(rows["pooling"])]
    groups = rows.groupby("pooling")[["macro_f1", "balanced_accuracy", "eer"]]
    table = groups.agg(["mean", "std"]).loc[names]
    table.columns = [f"{figure}_{what}" for figure, what in table.columns]
    return table.assign(seeds=groups.size())


def eer_change(rows: pd.DataFrame) -> pd.DataFrame:
    """How the EER changes from each other pooling to double attention, a row each.

    As in the paper, relative to the other's EER (-0.05: 5 % lower with double attention); mean and
    standard deviation over seeds, each seed compared with itself.
    """
    eer = rows.pivot(index="seed", columns="pooling", values="eer")
    others = eer.drop(columns=OURS)
    change = others.rdiv(eer[OURS], axis=0) - 1
    return change.agg(["mean", "std"]).T.loc[[name for name in POOLINGS if name in others]]


def report_comparison(rows: pd.DataFrame) -> str:
    """The comparison as text: the table, what it stands beside, and what double attention changes."""
    table = comparison_table(rows)
    text = pd.DataFrame(
        {
            figure: [
                f"{mean:.1%} ± {std:.1%}"
                for mean, std in table[[f"{figure}_mean", f"{figure}_std"]].to_numpy()
            ]
            for figure in ("macro_f1", "balanced_accuracy", "eer")
        },
        index=table.index,
    ).assign(seeds=table["seeds"])
    lines = [text.to_string(), beside(rows)]
    if OURS in table.index:
        for name, (mean, std) in eer_change(rows)[["mean", "std"]].iterrows():
            lines.append(f"EER from {name} to {OURS}: {mean:+.1%} ± {std:.1%} (below 0: lower)")
    return "\n".join(lines)


def beside(rows: pd.DataFrame) -> str:
    """What the figures stand beside."""
    first, interval = rows.iloc[0], ""
    if "balanced_accuracy_low" in rows:  # not in a comparison made before these were noted
        width = (rows["balanced_accuracy_high"] - rows["balanced_accuracy_low"]).mean()
        interval = f"; 95 % over speakers, one seed: ± {50 * width:.1f} points of balanced accuracy"
    return (
        f"on {counted(first['clips'], 'clip')} of {counted(first['speakers'], 'unseen speaker')};"
        f" chance {first['chance']:.1%}, EER by chance 50 %{interval}"
    )


def draw_comparison(rows: pd.DataFrame, out_dir: Path) -> None:
    """Write ``comparison.png``: macro F1 and EER side by side."""
    from matplotlib.figure import Figure

    from ..plots import plot_comparison

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, name in zip(axes, ("macro_f1", "eer"), strict=True):
        plot_comparison(rows, name, ax=ax)
    figure.suptitle(f"Poolings under one budget, {rows['seed'].nunique()} seeds\n{beside(rows)}", fontsize=11)
    figure.savefig(out_dir / "comparison.png", dpi=150)
