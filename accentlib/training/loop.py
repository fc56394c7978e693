"""The training loop: :func:`fit` reads top to bottom, beside a state that saves and resumes."""

import math
import os
import pickle
import signal
import statistics
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from ..config import Config, InputError, counted
from ..embeddings.metrics import NAMES
from ..files import remove_leftovers, replacing
from ..network.accent_net import AccentNet
from ..network.checkpoint import load_model
from .processes import gather, rank, world_size
from .schedule import cosine_rate, plateau_rate
from .state import Trainer


def fit(run: Trainer) -> None:
    """Train from the step that the run has reached, until ``max_epochs`` or early stopping."""
    if run.step == 0 and not run.overwrite:
        check_free(run.out_dir)
    config, sampler, losses = run.config, run.loader.batch_sampler, []
    updates = math.ceil(len(sampler) / config.gradient_accumulation) * config.max_epochs
    announce(run, updates)
    started = time.monotonic() - run.seconds
    with writing(run) if rank() == 0 else nullcontext() as board, stopping_between_updates() as stop:
        while run.epoch < config.max_epochs and not run.exhausted:
            sampler.epoch, sampler.first_batch = run.epoch, run.batch
            frozen = run.epoch < config.freeze_epochs
            run.model.train()
            run.model.front_end.requires_grad_(not frozen).train(not frozen)  # its batch norm, too
            bar = {"unit": " batches", "leave": False, "disable": None if run.progress else True}
            for batch in tqdm(run.loader, f"epoch {run.epoch + 1}", **bar):
                if config.schedule == "cosine":
                    run.optimizer.param_groups[0]["lr"] = cosine_rate(run.step, updates, config.learning_rate)
                loss = run.loss(batch)  # the forward pass
                (loss / config.gradient_accumulation).backward()
                losses.append(loss.detach())
                run.batch += 1
                if run.batch % config.gradient_accumulation and run.batch < len(sampler):
                    continue  # the next batch adds its gradients
                check_gradients(run)
                run.optimizer.step()
                run.optimizer.zero_grad()
                if run.averaged is not None:
                    run.averaged.update_parameters(run.model)
                run.step += 1
                run.seconds = time.monotonic() - started
                if stop:
                    run.save("last.pt")
                    raise KeyboardInterrupt
                if config.print_every and run.step % config.print_every == 0:
                    mean = mean_loss(losses[-config.print_every * config.gradient_accumulation :])
                    if board:
                        board.add_scalar("training_loss", mean, run.step)
                    run.log(f"epoch {run.epoch + 1}, update {run.step}: training loss {mean:.3f}")
                if config.validate_every and run.step % config.validate_every == 0:
                    validate(run, board, losses)
                    if run.exhausted:
                        break
            else:
                run.epoch, run.batch = run.epoch + 1, 0
                if not config.validate_every:
                    validate(run, board, losses)
        if not run.history or run.history[-1]["step"] != run.step:
            validate(run, board, losses)
    gather(None)  # now best.pt is there for all processes


def check_gradients(run: Trainer) -> None:
    """Raise an InputError, before an update spoils the weights, if a gradient is infinite or NaN."""
    gradients = [x.grad for x in run.model.parameters() if x.grad is not None]
    if not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
        step = run.history[-1]["step"] if run.history else None
        saved = f"{run.out_dir / 'last.pt'} is of update {step}" if step else "there is no checkpoint yet"
        hint = "try a lower learning_rate, or precision float32"
        raise InputError(f"update {run.step + 1}: the gradients are infinite or NaN; {saved}; {hint}")


def mean_loss(losses: list[torch.Tensor]) -> float:
    """The mean over batches and processes; NaN without batches."""
    return statistics.fmean(gather(float(torch.stack(losses).mean()) if losses else math.nan))


def validate(run: Trainer, board, losses: list[torch.Tensor]) -> None:
    """Measure on validation clips, halve the learning rate where due, and write checkpoints."""
    figures, group = run.validation.measure(run.evaluated), run.optimizer.param_groups[0]
    numbers = {"loss": mean_loss(losses), "learning_rate": group["lr"], **figures}
    losses.clear()
    run.history.append({"step": run.step, "epoch": run.epoch, "seconds": run.seconds, **numbers})
    better = (score := run.validation.score(figures)) > run.best
    run.best, run.stale = (score, 0) if better else (run.best, run.stale + 1)
    group["lr"] = plateau_rate(group["lr"], run.stale, run.config)
    for name, value in numbers.items():
        if board and not math.isnan(value):
            board.add_scalar(name, value, run.step)
    # best.pt first: a run that is killed between the two resumes from the validation before
    run.save(*(["best.pt", "last.pt"] if better else ["last.pt"]))
    measured = ", ".join(f"{NAMES[name]} {x:.1%}" for name, x in figures.items() if not math.isnan(x))
    run.log(f"epoch {run.epoch + (run.batch > 0)}, update {run.step}: validation {measured}")
    if run.after_validation:
        run.after_validation(run)


def announce(run: Trainer, updates: int) -> None:
    """Warn of few updates, and tell how often a run validates if its epochs are shorter than that."""
    every, of_epoch = run.config.validate_every, updates // run.config.max_epochs
    if run.from_random and run.step == 0 and (few := few_updates(updates)):
        run.log(f"{few} ({math.ceil(500 / of_epoch)} epochs make 500 updates)")
    if every > of_epoch:
        rarely = f"every {every:,} updates, here {math.ceil(every / of_epoch):,} epochs"
        run.log(f"validates and saves {rarely} (--validate_every 0: every epoch); Ctrl-C saves as well")


def few_updates(updates: int | None) -> str:
    """A warning if random weights get fewer than 500 updates; else, or for None, an empty string."""
    if updates is None or updates >= 500:
        return ""
    return f"only {counted(updates, 'update')} from random weights: too few to learn much; raise --max_epochs"


def check_free(out_dir: str | Path) -> None:
    """Raise an InputError if a folder holds a run, ours or a published one."""
    if (Path(out_dir) / "last.pt").exists() or any(Path(out_dir).glob("*.chkpt")):
        hint = "go on with it (--resume, or --requeue for a published one), name another out_dir"
        raise InputError(f"{out_dir} holds a run already; {hint}, or in Python pass overwrite=True")


@contextmanager
def writing(run: Trainer) -> Iterator:
    """Lock ``out_dir``, write ``config.pkl``, and yield a TensorBoard writer, or None without TensorBoard."""
    try:
        lock = FileLock(run.out_dir / "lock").acquire(timeout=0)
    except Timeout:
        raise InputError(f"{run.out_dir}: another run writes there; name another --out_dir") from None
    with lock:
        for name in ("config.pkl", "best.pt", "last.pt"):
            remove_leftovers(run.out_dir / name)
        with replacing(run.out_dir / "config.pkl") as temporary:
            content = {**run.config.to_dict(), **run.sources, "labels": run.model.labels}
            temporary.write_bytes(pickle.dumps(content, protocol=2))
        board: AbstractContextManager = nullcontext()
        try:
            from torch.utils.tensorboard import SummaryWriter

            # a resumed run writes again what followed the last checkpoint
            board = SummaryWriter(run.out_dir / "tensorboard", purge_step=run.step + 1)
        except ImportError:
            run.log("`pip install 'accentlib[tensorboard]'` gives training curves")
        with board as writer:
            yield writer


@contextmanager
def stopping_between_updates() -> Iterator[list[int]]:
    """Yield a list that a first Ctrl-C (or SIGTERM, if that counts as one) fills; a second stops at once."""
    asked, default = list[int](), signal.default_int_handler
    # several processes would stop at different updates, and threads get no signals: there the first stops
    alone = world_size() == 1 and threading.current_thread() is threading.main_thread()
    kinds = [k for k in (signal.SIGINT, signal.SIGTERM) if alone and signal.getsignal(k) is default]

    def ask(kind: int, _) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(kind)
        os.write(2, b"\nstopping after this update; once more stops at once, without saving\n")

    for kind in kinds:
        signal.signal(kind, ask)
    try:
        yield asked
    finally:
        for kind in kinds:
            signal.signal(kind, default)


def train(table: pd.DataFrame, config: Config, out_dir: str | Path, *, phones: pd.DataFrame | None = None,
          progress: bool = True, overwrite: bool = False) -> tuple[AccentNet, pd.DataFrame]:  # fmt: skip
    """Train on a corpus; the parameters are those of :class:`Trainer`. Warns of unreadable clips.

    Returns the model best on validation, in evaluation mode, and a row per validation: step, epoch, seconds,
    loss, learning_rate, metrics (NaN: not measured). Without ``overwrite`` a run in ``out_dir`` is an error.
    """
    if not overwrite:
        check_free(out_dir)  # before features are computed
    trainer = Trainer(table, config, out_dir, phones=phones, progress=progress, overwrite=overwrite)
    trainer.train()
    for problem in trainer.store.problems.values():
        warnings.warn(f"left out: {problem}", stacklevel=2)
    return load_model(trainer.out_dir / "best.pt"), pd.DataFrame(trainer.history)
