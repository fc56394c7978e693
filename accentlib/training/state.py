"""The state of a training run: made from a corpus, saved, resumed, or started from other weights."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pandas as pd
import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ..config import Config, InputError, shown
from ..corpora.phones import FramePhones
from ..corpora.table import select
from ..device import get_device, get_precision
from ..features.parallel import keep_freed_memory
from ..features.store import clip_ids, prepare
from ..files import fingerprint
from ..network.accent_net import AccentNet
from ..network.checkpoint import load_model, load_weights, read_training, save_checkpoint, trained_on
from ..network.ensemble import Ensemble
from .processes import gather, parallel, rank
from .schedule import averaging, make_optimizer
from .validation import Validation
from .windows import Batch, training_loader


class Trainer:
    """A training run: the model, its data, and what resuming needs.

    Parameters
    ----------
    table, config, labels
        A corpus with the splits train and validation. With ``sample_rate`` 0 the corpus determines the rate.
        Labels are accents in the order of their class numbers; by default the training split's, sorted.
    out_dir, overwrite
        Receives ``config.pkl`` (with ``sources``, names of the data files), checkpoints, TensorBoard files,
        and without ``features_dir`` the features. To replace a run there, :meth:`train` needs ``overwrite``.
    pairs, phones
        Pairs for EER (:func:`accentlib.published.lists.read_pairs`), phones (:func:`accentlib.read_phones`).
    phone_names
        The phones of a model to start from or to resume that pools by them; by default those of ``phones``.
    """

    def __init__(self, table: pd.DataFrame, config: Config, out_dir: str | Path, *,
                 labels: list[str] | None = None, pairs: pd.DataFrame | None = None, progress: bool = True,
                 features_dir: str | Path | None = None, phones: pd.DataFrame | None = None,
                 phone_names: Sequence[str] = (), sources: dict[str, str] | None = None,
                 overwrite: bool = False):  # fmt: skip
        if missing := ", ".join(name for name in ("path", "accent", "split") if name not in table):
            raise InputError(f"the table of clips lacks the column {missing} (see accentlib.read_corpus)")
        self.out_dir, self.overwrite, self.sources = Path(out_dir), overwrite, sources or {}
        self.progress, self.from_random = progress and rank() == 0, True
        self.out_dir.mkdir(parents=True, exist_ok=True)
        paired = [] if pairs is None else [*pairs["a"], *pairs["b"]]
        wanted = pd.DataFrame({"id": clip_ids(table) + paired, "path": table["path"].tolist() + paired})
        self.config, self.store = prepare(wanted, config, features_dir or self.out_dir / "features")
        self.table, config = self.store.keep(table), self.config
        train = select(self.table, "train")
        labels = labels or sorted(set(train["accent"]))
        self.validation = Validation(self.store, self.table, pairs, config)
        if unknown := sorted(set(self.validation.rows["accent"]) - set(train["accent"])):
            raise InputError(f"accent {unknown[0]!r} is in the validation split and not in train")
        torch.manual_seed(config.seed)
        keep_freed_memory()
        self.device = get_device(config.device)
        self.precision = get_precision(config.precision, self.device)
        frame_phones = None
        if config.phone_weight:
            if phones is None or not (known := pd.Index(clip_ids(phones)).isin(clip_ids(train))).any():
                raise InputError("phone_weight needs phones of the training clips; run `accentlib phones`")
            frame_phones = FramePhones(phones[known], config, list(phone_names) or None)
        names = frame_phones.names if frame_phones else phone_names
        if config.pooling_method == "Phones" and not names:
            raise InputError("pooling_method Phones needs phones: a phone_weight, or a model that knows some")
        self.model = AccentNet(config, labels, names).to(self.device)
        self.learned: frozenset[int] | None = frozenset()  # clips that the weights were trained on before
        self.own_clips = cache(lambda: frozenset(map(fingerprint, train["path"].tolist())))  # slow for many
        self.parallel = parallel(self.model, config)
        decay = config.weight_averaging
        self.averaged = AveragedModel(self.model, None, averaging(decay), use_buffers=True) if decay else None
        self.optimizer = make_optimizer(self.model, config)
        self.loader = training_loader(self.store, train, labels, config, frame_phones)
        weights = self.loader.batch_sampler.class_weights
        self.class_weights = weights(len(labels)).to(self.device) if config.balance == "loss" else None
        self.step = self.epoch = self.batch = self.stale = 0
        self.best, self.seconds = -1.0, 0.0
        self.history: list[dict[str, float]] = []
        self.after_validation: Callable[[Trainer], None] | None = None
        if rank():  # process 0's weights count; each process has a dropout of its own
            torch.manual_seed(config.seed + rank())

    @property
    def evaluated(self) -> AccentNet:
        """The model to validate and save: the averaged one if there is one."""
        return self.averaged.module if self.averaged else self.model  # type: ignore[return-value]  # a Module

    @property
    def exhausted(self) -> bool:
        """Whether early stopping ends the training."""
        return 0 <= self.config.early_stopping <= self.stale

    def train(self) -> None:
        """Train, and write the best weights to ``best.pt``; refuse if ``out_dir`` holds another run."""
        from .loop import fit  # which needs this class

        fit(self)

    def loss(self, batch: Batch) -> torch.Tensor:
        """The loss of a batch, in the run's precision."""
        log_mels, lengths, targets, phones = (x if x is None else x.to(self.device) for x in batch)
        options = {"step": self.step, "class_weights": self.class_weights, "phones": phones}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            return self.parallel(log_mels, lengths, targets, **options)[1]

    def log(self, line: str) -> None:
        """Print a line above the progress bar."""
        if self.progress:
            tqdm.write(line, file=sys.stderr)

    def save(self, *names: str) -> None:
        """Write checkpoints to ``out_dir``; every process calls it, process 0 writes."""
        state = self.state_dict()
        if rank() == 0:
            known = None if self.learned is None else self.learned | self.own_clips()
            self.model.trained_on = self.evaluated.trained_on = known
            for name in names:
                save_checkpoint(self.out_dir / name, self.evaluated, state)
            if (best := self.out_dir / "best.pt").exists():
                os.utime(best)  # as published, the newest checkpoint is the best

    def state_dict(self) -> dict:
        """What resuming needs, as plain types and tensors; the schedules need ``step`` and the optimizer."""
        cuda = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        parts = {"model": self.model, "averaged": self.averaged, "optimizer": self.optimizer}
        return {
            **{name: None if part is None else part.state_dict() for name, part in parts.items()},
            "counters": {k: getattr(self, k) for k in ("step", "epoch", "batch", "stale", "best", "seconds")},
            "history": self.history, "random": gather([torch.get_rng_state(), *cuda]),
        }  # fmt: skip

    def resume(self, path: str | Path) -> None:
        """Continue from a checkpoint, also a published one, of a run with the same model and accents."""
        content = read_training(path)
        state, before = content["training"], Config.from_dict(content["config"])
        if state is None:
            raise InputError(f"{path}: holds a model only, no training to resume")
        if content["labels"] != self.model.labels:
            theirs, ours = (shown(", ".join(labels)) for labels in (content["labels"], self.model.labels))
            hint = "accentlib finetune --checkpoint trains it on others"
            raise InputError(f"{path}: trained on the accents {theirs}; the corpus has {ours}; {hint}")
        self._load(self.evaluated, content["model"], trained_on(content), path)
        self.model.load_state_dict(state["model"])
        if self.averaged is not None and state["averaged"]:  # else averaging begins here
            self.averaged.load_state_dict(state["averaged"])
        if fits := state["optimizer"] and before.optimizer == self.config.optimizer:
            self.optimizer.load_state_dict(state["optimizer"])
            for key, name in (("lr", "learning_rate"), ("weight_decay", "weight_decay")):
                if (wanted := getattr(self.config, name)) != getattr(before, name):  # given anew
                    self.optimizer.param_groups[0][key] = wanted
        vars(self).update(state["counters"], history=state["history"])
        if rank() < len(state["random"]):  # else more processes continue than wrote it
            own, *of_gpu = state["random"][rank()]
            torch.set_rng_state(own)
            if of_gpu and self.device.type == "cuda":
                torch.cuda.set_rng_state(of_gpu[0], self.device)
        taken = "weights and optimizer" if fits else "weights; the optimizer begins anew"
        best = "" if self.history else "; the next validation counts as the best so far"
        self.log(f"{path}: goes on at epoch {self.epoch + 1}, update {self.step}, with its {taken}{best}")

    def start_from(self, path: str | Path) -> None:
        """Fine-tune: take the weights of a checkpoint (of an ensemble, those of its first network), except
        those of its accents and of other phones."""
        loaded = load_model(path)
        other = loaded.networks[0] if isinstance(loaded, Ensemble) else loaded
        own = ("am_softmax",) if other.phones == self.model.phones else ("am_softmax", "phone_layer")
        weights = {name: x for name, x in other.state_dict().items() if not name.startswith(own)}
        weights |= {name: x for name, x in self.model.state_dict().items() if name.startswith(own)}
        self._load(self.model, weights, loaded.trained_on, path)
        self.from_random = False

    def _load(self, model: AccentNet, weights: dict, clips: frozenset[int] | None, path: str | Path) -> None:
        """Put weights into a model, and note the clips that they were trained on (None: unknown)."""
        load_weights(model, weights, name=str(path))
        self.learned = None if clips is None or self.learned is None else self.learned | clips
