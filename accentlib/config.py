"""Every option in one frozen dataclass, with its unit and its default (the published trainer's).

Flags are made of the same fields. ``ALIASES`` are spellings of the published trainer and of version 0.1,
which flags, checkpoints and dicts may use."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class InputError(ValueError):
    """Unusable input; the message names the file, what is wrong with it, and what to do."""


def shown(text: str) -> str:
    """Shorten a path or a line for an error message."""
    return text if len(text) <= 200 else f"{text[:100]} ... {text[-50:]}"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: 1 speaker, 2 speakers."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def reason(error: Exception) -> str:
    """The first line of another library's error message, or the error's class."""
    return shown(next(iter(str(error).strip().splitlines()), type(error).__name__))


def option(default: Any, text: str, choices: tuple[str, ...] | None = None, within: str = "") -> Any:
    """A field with the help text that the command line shows, its choices, or its range."""
    return field(default=default, metadata={"help": text, "choices": choices, "range": within})


FRONT_ENDS = ("VGG3L", "VGG4L", "ResNet34")
PAPER_POOLINGS = ("Statistics", "Attention", "MHA", "DoubleMHA")
POOLINGS = (*PAPER_POOLINGS, "AttentiveStatistics", "DoubleMHAStatistics", "Phones")
NORMS, BALANCES, SCHEDULES = ("cmn", "cmvn"), ("none", "sampling", "loss"), ("plateau", "cosine")
OPTIMIZERS, CRITERIA = ("Adam", "AdamW", "SGD", "RMSprop"), ("macro_f1", "eer")
PRECISIONS = ("auto", "float32", "bfloat16")
SPLITS = ("train", "validation", "test")
VGG_BLOCKS = {"VGG3L": 3, "VGG4L": 4}
SHORTEST_SLICE = 2.0  # s, the shortest batch of random_slicing
SHORTEST_CLIP = 0.2  # s, the shortest clip that make_corpus keeps
FEATURE_FIELDS = ("sample_rate", "n_fft", "window_seconds", "hop_seconds", "n_mels", "preemphasis",
                  "trim_silence")  # fmt: skip
MODEL_FIELDS = ("front_end", "channels", "step_frames", "batch_norm", "pooling_method", "heads",
                "embedding_size")  # fmt: skip
ALIASES = {
    "win_length": "window_seconds", "hop_length": "hop_seconds", "kernel_size": "channels",
    "heads_number": "heads", "mask_prob": "head_drop", "scalingFactor": "scale", "scaling_factor": "scale",
    "marginFactor": "margin", "margin_factor": "margin", "window_size": "crop_seconds",
    "randomSlicing": "random_slicing", "gradientAccumulation": "gradient_accumulation",
    "val_labels_path": "valid_labels_path", "num_spkrs": "num_accents", "modelCheckpoint": "checkpoint",
    "sound_weight": "phone_weight", "sounds": "phones",
}  # fmt: skip
PUBLISHED_VALUES = {"Statistical": "Statistics"}
POSITIVE, FRACTION, NOT_NEGATIVE = "above 0", "in [0, 1)", "at least 0"
IN_RANGE = {POSITIVE: lambda x: x > 0, FRACTION: lambda x: 0 <= x < 1, NOT_NEGATIVE: lambda x: x >= 0}


def current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same options under the names of this version."""
    return {ALIASES.get(name, name): value for name, value in values.items()}


@dataclass(frozen=True)
class Config:
    """Features, model and training. Raises InputError if a value is outside its choices or its range."""

    # features
    sample_rate: int = option(0, "resample to this rate, Hz; 0: 16000, or 8000 for telephone recordings")
    n_fft: int = option(512, "FFT size, samples", within=POSITIVE)
    window_seconds: float = option(0.025, "length of the Hamming window, s", within=POSITIVE)
    hop_seconds: float = option(0.010, "step between frames, s", within=POSITIVE)
    n_mels: int = option(80, "mel bands from 0 Hz to half the sample rate", within=POSITIVE)
    preemphasis: float = option(0.97, "y[n] = x[n] - preemphasis * x[n-1]")
    trim_silence: float = option(0.0, "cut pauses this many dB below the peak; 0: none", within=NOT_NEGATIVE)
    normalization: str = option("cmn", "subtract each band's mean; cmvn: divide by its deviation, too", NORMS)
    evaluation_window: float = option(0.0, "average windows of so many s; 0: none", within=NOT_NEGATIVE)
    # model
    front_end: str = option("VGG4L", "convolutional front end", FRONT_ENDS)
    channels: int = option(1024, "channels of the front end's last block; each earlier one has half")
    step_frames: int = option(0, "frames in a step of a VGG; 0: 16, or 8 with three blocks")
    batch_norm: bool = option(False, "batch norm after the pooling of each VGG block")
    pooling_method: str = option("DoubleMHA", "pooling of frames into one vector", POOLINGS)
    heads: int = option(32, "attention heads")
    head_drop: float = option(0.3, "probability of dropping a head in training", within=FRACTION)
    embedding_size: int = option(400, "size of the embedding", within=POSITIVE)
    dropout: float = option(0.0, "dropout before each fully connected layer", within=FRACTION)
    # AM-Softmax
    scale: float = option(30.0, "AM-Softmax scale s", within=POSITIVE)
    margin: float = option(0.4, "AM-Softmax margin m")
    annealing: bool = option(False, "raise the margin gradually: alpha = 1000 / (1 + 1e-4 step)^2")
    # second task
    phone_weight: float = option(0.0, "weight of the phone loss by frame; 0: none", within=NOT_NEGATIVE)
    # windows and augmentation of the training data
    crop_seconds: float = option(3.5, "random window of each training utterance, s", within=POSITIVE)
    random_slicing: bool = option(False, "cut each batch to a random length from 2 s to the window")
    wave_augment: bool = option(False, "shift pitch, stretch, or add noise to 3 of 4 waves (slow)")
    speed_range: float = option(0.0, "change the speed by up to this; 0.1: 0.9 to 1.1", within=FRACTION)
    tract_range: float = option(0.0, "change the vocal tract length by up to this factor", within=FRACTION)
    noise_and_rooms: bool = option(False, "add noise of 5 to 40 dB SNR, and reverberation, to log-mels")
    spec_augment: bool = option(False, "mask random frames and mel bands (SpecAugment)")
    # sampling
    balance: str = option("none", "sample rare accents more often, or weight the loss", BALANCES)
    clips_per_speaker: int = option(0, "maximum clips of a speaker in an epoch; 0: all", within=NOT_NEGATIVE)
    # training
    optimizer: str = option("Adam", "optimizer", OPTIMIZERS)
    learning_rate: float = option(1e-4, "learning rate (cosine schedule: its maximum)", within=POSITIVE)
    schedule: str = option("plateau", "halve the rate when validation stalls, or cosine decay", SCHEDULES)
    patience: int = option(15, "validations without improvement before the rate is halved")
    weight_decay: float = option(1e-3, "weight decay")
    batch_size: int = option(64, "utterances in a batch", within=POSITIVE)
    gradient_accumulation: int = option(2, "batches in an update", within=POSITIVE)
    max_epochs: int = option(1_000_000, "maximum number of epochs", within=POSITIVE)
    early_stopping: int = option(25, "stop after this many validations without improvement; -1: never")
    criterion: str = option("macro_f1", "validation figure that selects the best model", CRITERIA)
    freeze_epochs: int = option(0, "epochs in which the front end is frozen (for fine-tuning)")
    print_every: int = option(1000, "updates between lines with the training loss; 0: none")
    validate_every: int = option(10_000, "updates between validations; 0: once an epoch")
    weight_averaging: float = option(0.0, "decay of the averaged weights; 0: no averaging", within=FRACTION)
    precision: str = option("auto", "auto: bfloat16 where the processor computes in it", PRECISIONS)
    device: str = option("auto", "auto, cpu, cuda or mps")
    num_workers: int = option(2, "processes that load data; 0: none")
    seed: int = option(1234, "seed of weights, order, windows and dropout")

    def __post_init__(self):
        for f in dataclasses.fields(self):
            value, (choices, wanted) = getattr(self, f.name), (f.metadata["choices"], f.metadata["range"])
            if f.type is float and type(value) is int:
                object.__setattr__(self, f.name, float(value))
            elif type(value) is not f.type:
                raise InputError(f"{f.name} must be of type {f.type.__name__}, not {value!r}")
            if choices and value not in choices:
                raise InputError(f"{f.name} must be one of {', '.join(choices)}, not {value!r}")
            if wanted and not IN_RANGE[wanted](value):
                raise InputError(f"{f.name} must be {wanted}, not {value}")
        heads, size = self.heads, self.encoder_size
        if self.step_frames not in (0, *(2**i for i in range(VGG_BLOCKS.get(self.front_end, -1) + 1))):
            raise InputError(f"{self.front_end} cannot have a step of {self.step_frames} frames")
        if self.channels < 8:
            raise InputError(f"channels must be at least 8, not {self.channels}")
        if heads < 1 or ("MHA" in self.pooling_method and size % heads):
            raise InputError(f"heads {heads} does not divide the encoder's size {size}")
        if self.batch_size < 2:
            raise InputError("batch_size must be at least 2: batch norm compares utterances")
        if self.crop_seconds < (hop := self.hop_seconds):
            raise InputError(f"crop_seconds {self.crop_seconds} s is shorter than a frame ({hop} s)")
        if self.random_slicing and self.crop_seconds < SHORTEST_SLICE:
            raise InputError(f"random_slicing needs crop_seconds of at least {SHORTEST_SLICE:g} s")

    @property
    def encoder_size(self) -> int:
        """Size of the encoder's vector of one step: a VGG keeps mel bands apart, a ResNet averages them."""
        if self.front_end == "ResNet34":
            return self.channels
        return self.channels * -(-self.n_mels // 2 ** VGG_BLOCKS[self.front_end])

    @property
    def frames_a_step(self) -> int:
        """Frames in one step of the encoder: 8, 16 or 32."""
        return 32 if self.front_end == "ResNet34" else self.step_frames or 2 ** VGG_BLOCKS[self.front_end]

    @property
    def first_frame(self) -> float:
        """Time of the middle of the first frame, s; ``sample_rate`` must be set."""
        return self.n_fft / 2 / self.sample_rate

    @classmethod
    def paper(cls, **changes: Any) -> "Config":
        """The published trainer's defaults."""
        return cls.from_dict(changes)

    @classmethod
    def accent_fork(cls, **changes: Any) -> "Config":
        """The defaults of its accent fork."""
        return cls.from_dict(ACCENT_FORK | current_names(changes))

    @classmethod
    def laptop(cls, **changes: Any) -> "Config":
        """A small VGG with batch norm that learns the bundled corpus in minutes on two cores."""
        return cls.from_dict(LAPTOP | current_names(changes))

    @classmethod
    def real_speech(cls, **changes: Any) -> "Config":
        """For recordings of people: a VGG that learns phones as well, and pools by them."""
        return cls.from_dict(REAL_SPEECH | current_names(changes))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """A configuration from a dict. Raises InputError for an unknown key, with the nearest one."""
        names = [f.name for f in dataclasses.fields(cls)]
        for key in current_names(values):
            if key not in names:
                near = difflib.get_close_matches(key, [*names, *ALIASES], n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
                raise InputError(f"unknown option {key!r}; {hint}")
        return cls(**current_names(values))

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed."""
        return self.from_dict(self.to_dict() | current_names(changes))

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, as stored in checkpoints."""
        return dataclasses.asdict(self)


ACCENT_FORK = {"crop_seconds": 0.2, "early_stopping": 50, "validate_every": 1000, "num_workers": 8}
LAPTOP = {
    "n_mels": 40, "channels": 64, "batch_norm": True, "heads": 8, "embedding_size": 128, "margin": 0.2,
    "crop_seconds": 2.5, "speed_range": 0.1, "tract_range": 0.1, "spec_augment": True, "optimizer": "AdamW",
    "learning_rate": 3e-3, "schedule": "cosine", "weight_decay": 0.05, "weight_averaging": 0.99,
    "batch_size": 32, "gradient_accumulation": 1, "max_epochs": 30, "early_stopping": -1,
    "validate_every": 0, "num_workers": 0,
}  # fmt: skip
# Chosen on development speakers of the Speech Accent Archive; data/comparisons/README.md has the table.
REAL_SPEECH = LAPTOP | {
    "trim_silence": 30.0, "step_frames": 8, "pooling_method": "Phones", "head_drop": 0.0, "scale": 20.0,
    "margin": 0.1, "phone_weight": 5.0, "crop_seconds": 4.0, "evaluation_window": 4.0, "speed_range": 0.0,
    "tract_range": 0.0, "noise_and_rooms": True, "optimizer": "Adam", "weight_decay": 0.0,
    "learning_rate": 2e-3, "batch_size": 16, "max_epochs": 180, "validate_every": 400,
}  # fmt: skip
PRESETS = {name: getattr(Config, name) for name in ("paper", "accent_fork", "laptop", "real_speech")}
# What fine-tuning changes: in the checkpoint's own settings (""; data/comparisons/finetuning.csv has the
# curves), or in a preset's.
FINETUNING: dict[str, dict] = {
    "": {"learning_rate": 1e-3, "max_epochs": 60, "freeze_epochs": 60, "phone_weight": 0.0, "device": "auto"},
    "accent_fork": {"crop_seconds": 1.0},
}
