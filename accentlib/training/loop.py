"""The one training loop."""

import math
import os
import pickle
import signal
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ..config import Config, InputError, counted, shown
from ..corpora.phones import FramePhones
from ..corpora.table import select
from ..device import get_device, get_precision, keep_freed_memory
from ..embeddings.metrics import NAMES
from ..features.store import prepare
from ..files import fingerprint, remove_leftovers, replacing
from ..network.accent_net import AccentNet
from ..network.checkpoint import load_model, load_weights, read_training, save_checkpoint, trained_on
from .processes import gather, parallel, rank, wait, world_size
from .schedule import averaging, cosine_rate, make_optimizer, plateau_rate
from .validation import Validation
from .windows import training_loader


def training_phones(phones: pd.DataFrame | None, train: pd.DataFrame, config: Config) -> FramePhones | None:
    """The phones of the training clips; None where they are not learned.

    Raises InputError if they are to be learned, and nothing is said of these clips.
    """
    if not config.phone_weight:
        return None
    if phones is None:
        raise InputError("phone_weight needs a table of phones; `accentlib align` makes one")
    known = phones[phones["path"].isin(set(train["path"]))]
    if not len(known):
        raise InputError(f"the table of phones says nothing of a training clip, {train['path'].iloc[0]} say")
    return FramePhones(known, config)


def few_updates(updates: int | None) -> str:
    """A warning if a network was trained from nothing with fewer than 500 updates; else, or None, nothing."""
    if updates is None or updates >= 500:
        return ""
    return f"only {counted(updates, 'update')} from random weights: in so few a network hardly learns anything; raise --max_epochs"


def check_free(out_dir: str | Path) -> None:
    """Raise an InputError if a folder holds a run, ours or a published one, which another one would write over."""
    if (Path(out_dir) / "last.pt").exists() or any(Path(out_dir).glob("*.chkpt")):
        raise InputError(
            f"{out_dir} holds a run already; go on with it (--resume, or --requeue where it is a published one), name"
            " another out_dir, or in Python pass overwrite=True"
        )


@contextmanager
def stopping_between_updates() -> Iterator[Callable[[], bool]]:
    """Say whether to stop: a first Ctrl-C waits for the update to be whole, a second one stops at once.

    So does SIGTERM, where it counts as Ctrl-C. Of several processes, which would stop at different updates, and in
    threads, Ctrl-C stops as ever.
    """
    asked = []
    alone = world_size() == 1 and threading.current_thread() is threading.main_thread()
    numbers = [
        number for number in (signal.SIGINT, signal.SIGTERM)
        if alone and signal.getsignal(number) is signal.default_int_handler
    ]  # fmt: skip

    def set_all(handler) -> None:
        for number in numbers:
            signal.signal(number, handler)

    def stop(*_) -> None:
        asked.append(True)
        os.write(2, b"\nstopping after this update; once more stops at once, without saving\n")
        set_all(signal.default_int_handler)

    set_all(stop)
    try:
        yield lambda: bool(asked)
    finally:
        set_all(signal.default_int_handler)


class Trainer:
    """A training run: the model, what resuming needs, and the loop.

    Parameters
    ----------
    table : pandas.DataFrame
        A corpus; its splits train and validation are used.
    config : Config
        A ``sample_rate`` of 0 becomes 16 kHz, or 8 kHz where the corpus has less.
    out_dir : str or Path
        Receives features, ``config.pkl``, checkpoints and TensorBoard files.
    labels : list of str, optional
        Accents in the order of their class numbers; sorted names of the training split by default.
    pairs : pandas.DataFrame, optional
        Pairs to validate EER on (:func:`accentlib.published.lists.read_pairs`).
    progress : bool
        Show bars and a line a validation on stderr.
    features_dir : str or Path, optional
        Where the features are or are made, for runs that share them; ``out_dir/features`` by default.
    phones : pandas.DataFrame, optional
        Which phone is spoken when (:func:`accentlib.corpora.phones.read_phones`), for ``phone_weight``.
    sources : dict of str to str, optional
        Where the table and the pairs were read from; noted in ``config.pkl`` beside the configuration.
    overwrite : bool
        Write over a run that ``out_dir`` holds; otherwise :meth:`train` refuses, unless it resumed that run.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        config: Config,
        out_dir: str | Path,
        *,
        labels: list[str] | None = None,
        pairs: pd.DataFrame | None = None,
        progress: bool = True,
        features_dir: str | Path | None = None,
        phones: pd.DataFrame | None = None,
        sources: dict[str, str] | None = None,
        overwrite: bool = False,
    ):
        missing = [name for name in ("path", "accent", "split") if name not in table]
        if missing:
            raise InputError(
                f"the table of clips lacks the column {', '.join(missing)} (see accentlib.read_corpus)"
            )
        self.sources, self.overwrite, self.from_nothing = sources or {}, overwrite, True
        self.out_dir, self.progress, self.writes = Path(out_dir), progress and rank() == 0, rank() == 0
        self.out_dir.mkdir(parents=True, exist_ok=True)
        wanted = table[["path"]]
        if pairs is not None:
            both = pd.DataFrame({"path": [*pairs["a"], *pairs["b"]]})
            wanted = pd.concat([wanted, both], ignore_index=True)
        self.config, store = prepare(wanted, config, features_dir or self.out_dir / "features")
        self.store, self.table = store, store.keep(table)
        train = select(self.table, "train")
        labels = labels or sorted(set(train["accent"]))
        self.validation = Validation(store, self.table, pairs, self.config)
        unknown = sorted(set(self.validation.rows["accent"]) - set(train["accent"]))
        if unknown:
            raise InputError(f"accent {unknown[0]!r} is in the validation split and not in train")
        torch.manual_seed(self.config.seed)
        keep_freed_memory()
        self.device = get_device(self.config.device)
        self.precision = get_precision(self.config.precision, self.device)
        frame_phones = training_phones(phones, train, self.config)
        names = frame_phones.names if frame_phones else ()
        self.model = AccentNet(self.config, labels, names).to(self.device)
        self.model.trained_on = frozenset(map(fingerprint, train["path"]))
        self.parallel = parallel(self.model, self.config)
        self.averaged = None
        if self.config.weight_averaging:
            average = averaging(self.config.weight_averaging)
            self.averaged = AveragedModel(self.model, avg_fn=average, use_buffers=True)
        self.optimizer = make_optimizer(self.model, self.config)
        self.loader = training_loader(store, train, labels, self.config, frame_phones)
        self.class_weights = None
        if self.config.balance == "loss":
            weights = self.loader.batch_sampler.class_weights(len(labels))
            self.class_weights = torch.from_numpy(weights).to(self.device)
        self.step = self.epoch = self.batch = self.stale = 0
        if rank():  # the first process's weights count; its dropout should not be everyone's
            torch.manual_seed(self.config.seed + rank())
        self.best = -1.0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []

    @property
    def evaluated(self) -> AccentNet:
        """The model that is validated and saved: the averaged one where there is one."""
        return self.model if self.averaged is None else self.averaged.module

    def state(self) -> dict[str, Any]:
        """What resuming needs, of plain types and tensors.

        The schedules keep no state of their own: the cosine's rate follows from ``step``, the plateau's
        from ``stale`` and the rate in the optimizer.
        """
        return {
            "model": self.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "counters": {k: getattr(self, k) for k in ("step", "epoch", "batch", "stale", "best", "seconds")},
            "history": self.history,
            "random": gather(self.random_state()),
        }

    def random_state(self) -> list[torch.Tensor]:
        """The states of this process's random generators: the CPU's, and its GPU's where it uses one."""
        cuda = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return [torch.get_rng_state(), *cuda]

    def resume(self, path: str | Path) -> None:
        """Go on from a checkpoint, also a published one, of a run with the same configuration and accents.

        Raises InputError if it is of another model, another label set, or holds no training state.
        """
        content = read_training(path)
        if content["labels"] != self.model.labels:
            raise InputError(
                f"{path}: was trained on the accents {shown(', '.join(content['labels']))};"
                f" the corpus has {shown(', '.join(self.model.labels))};"
                " accentlib finetune --checkpoint takes its weights to others"
            )
        load_weights(self.evaluated, content["model"], name=str(path))
        self.also_trained_on(trained_on(content))
        state = content["training"]
        if state is None:
            raise InputError(f"{path}: holds a model only, no training to resume")
        self.model.load_state_dict(state["model"])
        if self.averaged is not None and state["averaged"]:  # else averaging begins here
            self.averaged.load_state_dict(state["averaged"])
        fits = state["optimizer"] and content["config"].get("optimizer", "Adam") == self.config.optimizer
        if fits:
            self.optimizer.load_state_dict(state["optimizer"])
            for key, name in (("lr", "learning_rate"), ("weight_decay", "weight_decay")):
                wanted = getattr(self.config, name)
                if wanted != content["config"].get(name, getattr(Config(), name)):  # given anew
                    for group in self.optimizer.param_groups:
                        group[key] = wanted
        for name, value in state["counters"].items():
            setattr(self, name, value)
        self.history = state["history"]
        if rank() < len(state["random"]):  # else more processes go on than wrote it
            own, *of_gpu = state["random"][rank()]
            torch.set_rng_state(own)
            if of_gpu and self.device.type == "cuda":
                torch.cuda.set_rng_state(of_gpu[0], self.device)
        if self.progress:
            taken = "weights and optimizer" if fits else "weights; the optimizer begins anew"
            best = "" if self.history else "; the next validation counts as the best so far"
            where = f"epoch {self.epoch + 1}, update {self.step}"
            tqdm.write(f"{path}: goes on at {where}, with its {taken}{best}", file=sys.stderr)

    def start_from(self, path: str | Path) -> None:
        """Fine-tuning: take the weights of a checkpoint, all but those of its accents, and of other phones.

        Raises InputError if they do not fit; both shapes are named.
        """
        other, own = load_model(path), self.model.state_dict()
        not_shared = ("am_softmax",) if other.phones == self.model.phones else ("am_softmax", "phone_layer")
        weights = {k: v for k, v in other.state_dict().items() if not k.startswith(not_shared)}
        weights |= {k: v for k, v in own.items() if k.startswith(not_shared)}
        load_weights(self.model, weights, name=str(path))
        self.also_trained_on(other.trained_on)
        self.from_nothing = False

    def also_trained_on(self, clips: frozenset[int] | None) -> None:
        """Note what the weights that training starts with were trained on."""
        before = self.model.trained_on
        self.evaluated.trained_on = None if None in (clips, before) else before | clips

    def train(self) -> None:
        """Train until ``max_epochs`` or early stopping; on return the best weights are in ``best.pt``.

        Raises InputError if ``out_dir`` holds a run that was not resumed.
        """
        if self.step == 0 and not self.overwrite:
            check_free(self.out_dir)
        config, sampler = self.config, self.loader.batch_sampler
        updates = math.ceil(len(sampler) / config.gradient_accumulation) * config.max_epochs
        started, losses = time.monotonic() - self.seconds, []
        self.announce(updates)
        with self.writing() as board, stopping_between_updates() as stopped:
            while self.epoch < config.max_epochs and not self.exhausted:
                sampler.epoch, sampler.first_batch = self.epoch, self.batch
                self.model.front_end.requires_grad_(not self.frozen)
                bar = tqdm(
                    self.loader, f"epoch {self.epoch + 1}", unit=" batches", leave=False,
                    disable=None if self.progress else True,
                )  # fmt: skip
                for batch in bar:
                    losses.append(self.forward_backward(*batch))
                    self.batch += 1
                    if self.batch % config.gradient_accumulation == 0 or self.batch == len(sampler):
                        self.update(updates)
                        if stopped():
                            self.seconds = time.monotonic() - started
                            save_checkpoint(self.out_dir / "last.pt", self.evaluated, self.state())
                            raise KeyboardInterrupt
                        if config.print_every and self.step % config.print_every == 0:
                            self.report(board, losses)
                        if config.validate_every and self.step % config.validate_every == 0:
                            self.seconds = time.monotonic() - started
                            self.validate(board, losses)
                            if self.exhausted:
                                break
                else:
                    self.epoch, self.batch = self.epoch + 1, 0
                    self.seconds = time.monotonic() - started
                    if not config.validate_every:
                        self.validate(board, losses)
            if not self.history or self.history[-1]["step"] != self.step:
                self.validate(board, losses)
        wait()  # best.pt is there for all

    def announce(self, updates: int) -> None:
        """Say if there are few updates, and where validations are more than an epoch apart, how long nothing is saved."""
        every, of_epoch = self.config.validate_every, updates // self.config.max_epochs
        if self.progress and self.from_nothing and self.step == 0 and (few := few_updates(updates)):
            tqdm.write(f"{few}: {math.ceil(500 / of_epoch)} make 500", file=sys.stderr)
        if self.progress and every > of_epoch:
            epochs = counted(math.ceil(every / of_epoch), "epoch")
            tqdm.write(
                f"validates and saves every {counted(every, 'update')}, which are {epochs} here (--validate_every 0:"
                " every epoch); Ctrl-C saves as well",
                file=sys.stderr,
            )

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """Write ``config.pkl`` and let no other run write in ``out_dir``; give the TensorBoard, if this process writes.

        Raises InputError if another run writes there.
        """
        if not self.writes:
            yield None
            return
        from torch.utils.tensorboard import SummaryWriter

        try:
            lock = FileLock(self.out_dir / "lock").acquire(timeout=0)
        except Timeout:
            raise InputError(f"{self.out_dir}: another run writes there; name another --out_dir") from None
        with lock:
            for name in ("config.pkl", "best.pt", "last.pt"):
                remove_leftovers(self.out_dir / name)
            with replacing(self.out_dir / "config.pkl") as temporary:
                content = {**self.config.to_dict(), **self.sources, "labels": self.model.labels}
                temporary.write_bytes(pickle.dumps(content, protocol=2))
            # what a killed run wrote after its last checkpoint is written again
            with SummaryWriter(self.out_dir / "tensorboard", purge_step=self.step + 1) as board:
                yield board

    @property
    def exhausted(self) -> bool:
        """Whether early stopping has given up."""
        return 0 <= self.config.early_stopping <= self.stale

    @property
    def frozen(self) -> bool:
        """Whether the front end is not trained in this epoch."""
        return self.epoch < self.config.freeze_epochs

    def forward_backward(
        self,
        log_mels: torch.Tensor,
        lengths: torch.Tensor | None,
        targets: torch.Tensor,
        phones: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Add a batch's gradients; its loss, detached."""
        self.model.train()
        if self.frozen:
            self.model.front_end.eval()  # batch norm keeps its statistics
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16)
        with autocast:
            log_mels, targets = log_mels.to(self.device), targets.to(self.device)
            phones = None if phones is None else phones.to(self.device)
            _, loss = self.parallel(
                log_mels, lengths, targets, step=self.step, class_weights=self.class_weights, phones=phones
            )
        (loss / self.config.gradient_accumulation).backward()
        return loss.detach()

    def check_gradients(self) -> None:
        """Raise an InputError, before anything is spoilt, if a gradient is no number any more."""
        gradients = [x.grad for x in self.model.parameters() if x.grad is not None]
        if torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
            return
        last = self.out_dir / "last.pt"
        kept = (
            f"{last} is of update {self.history[-1]['step']}"
            if self.history
            else "there is no checkpoint yet"
        )
        raise InputError(
            f"update {self.step + 1}: the gradients are infinite or not numbers (NaN); {kept};"
            " try a lower learning_rate, or precision float32"
        )

    def update(self, updates: int) -> None:
        """One step of the optimizer, of ``updates`` in all."""
        if self.config.schedule == "cosine":
            self.set_rate(cosine_rate(self.step, updates, self.config.learning_rate))
        self.check_gradients()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.step += 1

    def set_rate(self, rate: float) -> None:
        """Set the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def mean_loss(self, losses: list[torch.Tensor]) -> float:
        """The mean over batches and processes; NaN of none."""
        own = float(torch.stack(losses).mean()) if losses else math.nan
        return statistics.fmean(gather(own))

    def report(self, board, losses: list[torch.Tensor]) -> None:
        """Note the mean training loss of the last ``print_every`` updates, or since the last validation."""
        loss = self.mean_loss(losses[-self.config.print_every * self.config.gradient_accumulation :])
        if board:
            board.add_scalar("training_loss", loss, self.step)
        if self.progress:
            tqdm.write(
                f"epoch {self.epoch + 1}, update {self.step}: training loss {loss:.3f}", file=sys.stderr
            )

    def validate(self, board, losses: list[torch.Tensor]) -> None:
        """Evaluate on whole validation utterances, halve the rate where due, write checkpoints."""
        figures, predicted = self.validation.measure(self.evaluated)
        rate = self.optimizer.param_groups[0]["lr"]
        row = {
            "step": self.step,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "loss": self.mean_loss(losses),
            "learning_rate": rate,
            **figures,
        }
        losses.clear()
        self.history.append(row)
        score = self.validation.score(figures)
        better = score > self.best
        self.best, self.stale = (score, 0) if better else (self.best, self.stale + 1)
        self.set_rate(plateau_rate(rate, self.stale, self.config))
        state = self.state()
        if self.writes:
            self.write(board, state, predicted if better else None)
        if self.progress:
            measured = [f"{NAMES[k]} {x:.1%}" for k, x in figures.items() if not math.isnan(x)]
            where = f"epoch {self.epoch + (self.batch > 0)}, update {self.step}"
            tqdm.write(f"{where}: validation {', '.join(measured)}", file=sys.stderr)

    def write(self, board, state: dict[str, Any], predicted: list[str] | None) -> None:
        """Write the checkpoints and figures of a validation; ``predicted`` is of a better model than before."""
        row = self.history[-1]
        for name in ("loss", "learning_rate", *NAMES):
            if not math.isnan(row[name]):
                board.add_scalar(name, row[name], self.step)
        if predicted is not None:
            self.draw_confusion(board, predicted)
            # before last.pt: whoever is killed between the two goes on from the validation before
            save_checkpoint(self.out_dir / "best.pt", self.evaluated, state)
        save_checkpoint(self.out_dir / "last.pt", self.evaluated, state)
        if (self.out_dir / "best.pt").exists():
            os.utime(self.out_dir / "best.pt")  # as published, the newest checkpoint is the best

    def draw_confusion(self, board, predicted: list[str]) -> None:
        """Put the confusion matrix of the validation split on TensorBoard."""
        if not predicted:
            return
        from matplotlib.figure import Figure

        from ..plots import plot_confusion

        truth, labels = self.validation.rows["accent"], self.model.labels
        side = 2 + 0.6 * len(labels)
        ax = plot_confusion(
            truth, predicted, labels, ax=Figure((side, side), layout="constrained").subplots()
        )
        board.add_figure("confusion", ax.figure, self.step)


def train(
    table: pd.DataFrame,
    config: Config,
    out_dir: str | Path,
    *,
    phones: pd.DataFrame | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> tuple[AccentNet, pd.DataFrame]:
    """Train on a corpus.

    Parameters
    ----------
    table, config, out_dir, phones, progress, overwrite
        As for :class:`Trainer`.

    Returns
    -------
    model : AccentNet
        The best on validation, in evaluation mode.
    history : pandas.DataFrame
        A row a validation: step, epoch, seconds, loss, learning_rate, balanced_accuracy, macro_f1,
        accuracy, eer (NaN where it is not measured).

    Raises InputError if ``out_dir`` holds a run, unless ``overwrite`` is given; warns of clips that cannot be read.
    """
    if not overwrite:
        check_free(out_dir)  # before features are computed
    trainer = Trainer(table, config, out_dir, phones=phones, progress=progress, overwrite=overwrite)
    trainer.train()
    for problem in trainer.store.problems.values():
        warnings.warn(f"left out: {problem}", stacklevel=2)
    return load_model(trainer.out_dir / "best.pt"), pd.DataFrame(trainer.history)
