"""The one training loop."""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from .checkpoint import load_model, load_weights, read_checkpoint, save_checkpoint
from .config import Config, InputError
from .corpus import corpus_sample_rate, select
from .data import training_loader
from .embeddings import forward_log_mels
from .features import normalise
from .metrics import classification_metrics
from .model import AccentNet
from .store import FeatureStore, open_store

WARM_UP = 0.1  # part of the cosine schedule in which the rate rises


def get_device(name: str = "auto") -> torch.device:
    """The device of that name; auto: CUDA, else MPS, else the CPU.

    Raises InputError if PyTorch has no such device here.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda", "mps") or (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise InputError(f"device {name!r} is not to be had here; use auto or cpu")
    return torch.device(name)


def get_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that training computes convolutions in: bfloat16 only where the processor has it."""
    if name == "auto":
        if device.type == "cpu":
            capabilities = torch.cpu.get_capabilities()
            fast = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
        else:
            fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        name = "bfloat16" if fast else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def prepare(table: pd.DataFrame, config: Config, out_dir: str | Path) -> tuple[Config, FeatureStore]:
    """Settle the sample rate and compute the features under ``out_dir/features``."""
    if config.sample_rate == 0:
        config = config.replace(sample_rate=corpus_sample_rate(list(table["path"])))
    return config, open_store(table, Path(out_dir) / "features", config)


def make_optimizer(model: AccentNet, config: Config) -> torch.optim.Optimizer:
    """The optimizer of the configuration."""
    kinds = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}
    kinds |= {"SGD": torch.optim.SGD, "RMSprop": torch.optim.RMSprop}
    kind = kinds[config.optimizer]
    return kind(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def cosine_rate(step: int, steps: int, peak: float) -> float:
    """Learning rate of the update ``step`` of ``steps``: a linear rise, then half a cosine to zero."""
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def averaging(decay: float) -> Callable:
    """Exponential average of weights; its memory grows from 10 updates to ``1 / (1 - decay)``.

    With a memory of fixed length, the average of a short run would still be the weights it began with.
    """
    return lambda average, weight, count: average + (weight - average) * max(1 - decay, 9 / (10 + count))


class Trainer:
    """A training run: the model, what resuming needs, and the loop.

    Parameters
    ----------
    table : pandas.DataFrame
        A corpus; its splits train and validation are used.
    config : Config
        A ``sample_rate`` of 0 becomes the corpus's.
    out_dir : str or Path
        Receives features, checkpoints and TensorBoard files.
    progress : bool
        Show bars and a line a validation on stderr.
    """

    def __init__(self, table: pd.DataFrame, config: Config, out_dir: str | Path, *, progress: bool = True):
        self.out_dir, self.progress = Path(out_dir), progress
        self.out_dir.mkdir(parents=True, exist_ok=True)
        self.config, store = prepare(table, config, out_dir)
        self.store, self.table = store, store.keep(table)
        train, self.valid = select(self.table, "train"), select(self.table, "validation")
        labels = sorted(set(train["accent"]))
        unknown = sorted(set(self.valid["accent"]) - set(labels))
        if unknown:
            raise InputError(f"accent {unknown[0]!r} is in the validation split and not in train")
        torch.manual_seed(self.config.seed)
        self.device = get_device(self.config.device)
        self.precision = get_precision(self.config.precision, self.device)
        self.model = AccentNet(self.config, labels).to(self.device)
        self.averaged = None
        if self.config.weight_averaging:
            average = averaging(self.config.weight_averaging)
            self.averaged = AveragedModel(self.model, avg_fn=average, use_buffers=True)
        self.optimizer = make_optimizer(self.model, self.config)
        self.loader = training_loader(store, train, labels, self.config)
        self.valid_log_mels = [
            normalise(store[path], self.config.normalization) for path in self.valid["path"]
        ]
        self.step = self.epoch = self.batch = self.stale = 0
        self.best = -1.0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []

    @property
    def evaluated(self) -> AccentNet:
        """The model that is validated and saved: the averaged one where there is one."""
        return self.model if self.averaged is None else self.averaged.module

    def state(self) -> dict[str, Any]:
        """What resuming needs, of plain types and tensors."""
        return {
            "model": self.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "counters": {k: getattr(self, k) for k in ("step", "epoch", "batch", "stale", "best", "seconds")},
            "history": self.history,
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else None,
        }

    def resume(self, path: str | Path) -> None:
        """Go on from a checkpoint of a run with the same configuration and accents.

        Raises InputError if it is of another model, another label set, or holds no training state.
        """
        content = read_checkpoint(path)
        if content["labels"] != self.model.labels:
            raise InputError(
                f"{path}: was trained on the accents {', '.join(content['labels'])};"
                f" the corpus has {', '.join(self.model.labels)}"
            )
        load_weights(self.evaluated, content["model"], name=str(path))
        state = content["training"]
        if state is None:
            raise InputError(f"{path}: holds a model only, no training to resume")
        self.model.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["counters"].items():
            setattr(self, name, value)
        self.history = state["history"]
        torch.set_rng_state(state["random"])
        if state["cuda_random"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["cuda_random"])

    def train(self) -> None:
        """Train until ``max_epochs`` or early stopping; on return the best weights are in ``best.pt``."""
        from torch.utils.tensorboard import SummaryWriter

        config, sampler = self.config, self.loader.batch_sampler
        updates = math.ceil(len(sampler) / config.gradient_accumulation) * config.max_epochs
        started, losses = time.monotonic() - self.seconds, []
        with SummaryWriter(self.out_dir / "tensorboard") as board:
            while self.epoch < config.max_epochs and not self.exhausted:
                sampler.epoch, sampler.first_batch = self.epoch, self.batch
                bar = tqdm(
                    self.loader, f"epoch {self.epoch + 1}", unit=" batches", leave=False,
                    disable=None if self.progress else True,
                )  # fmt: skip
                for log_mels, lengths, targets in bar:
                    losses.append(self.forward_backward(log_mels, lengths, targets))
                    self.batch += 1
                    if self.batch % config.gradient_accumulation == 0 or self.batch == len(sampler):
                        self.update(updates)
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

    @property
    def exhausted(self) -> bool:
        """Whether early stopping has given up."""
        return 0 <= self.config.early_stopping <= self.stale

    def forward_backward(
        self, log_mels: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Add a batch's gradients; its loss, detached."""
        self.model.train()
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16)
        with autocast:
            loss = self.model(
                log_mels.to(self.device), lengths.to(self.device), targets.to(self.device), self.step
            )
        (loss / self.config.gradient_accumulation).backward()
        return loss.detach()

    def update(self, updates: int) -> None:
        """One step of the optimizer, of ``updates`` in all."""
        if self.config.schedule == "cosine":
            self.set_rate(cosine_rate(self.step, updates, self.config.learning_rate))
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.step += 1

    def set_rate(self, rate: float) -> None:
        """Set the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def validate(self, board, losses: list[torch.Tensor]) -> None:
        """Evaluate on whole validation utterances, halve the rate where due, write checkpoints."""
        model, labels = self.evaluated.eval(), self.model.labels
        _, logits = forward_log_mels(model, self.valid_log_mels)
        predicted = np.asarray(labels)[logits.argmax(axis=1)]
        figures = classification_metrics(self.valid["accent"], predicted, labels)
        rate = self.optimizer.param_groups[0]["lr"]
        row = {
            "step": self.step,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "loss": float(torch.stack(losses).mean()) if losses else math.nan,
            "learning_rate": rate,
            "balanced_accuracy": figures["balanced_accuracy"],
            "macro_f1": figures["macro_f1"],
        }
        losses.clear()
        self.history.append(row)
        for name in ("loss", "learning_rate", "balanced_accuracy", "macro_f1"):
            board.add_scalar(name, row[name], self.step)
        better = row["macro_f1"] > self.best
        self.best, self.stale = (row["macro_f1"], 0) if better else (self.best, self.stale + 1)
        if self.config.schedule == "plateau" and self.stale and self.stale % self.config.patience == 0:
            self.set_rate(rate / 2)
        save_checkpoint(self.out_dir / "last.pt", model, self.state())
        if better:
            save_checkpoint(self.out_dir / "best.pt", model, self.state())
        if self.progress:
            tqdm.write(
                f"epoch {self.epoch}, update {self.step}: validation balanced accuracy"
                f" {row['balanced_accuracy']:.1%}, macro F1 {row['macro_f1']:.1%}",
                file=sys.stderr,
            )


def train(
    table: pd.DataFrame, config: Config, out_dir: str | Path, *, progress: bool = True
) -> tuple[AccentNet, pd.DataFrame]:
    """Train on a corpus.

    Parameters
    ----------
    table, config, out_dir, progress
        As for :class:`Trainer`.

    Returns
    -------
    model : AccentNet
        The best on validation, in evaluation mode.
    history : pandas.DataFrame
        A row a validation: step, epoch, seconds, loss, learning_rate, balanced_accuracy, macro_f1.
    """
    trainer = Trainer(table, config, out_dir, progress=progress)
    trainer.train()
    return load_model(trainer.out_dir / "best.pt"), pd.DataFrame(trainer.history)
