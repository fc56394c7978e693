"""Every number of the system in one frozen dataclass, with its unit and its default.

The field names are those of the published trainer (in snake_case), so that its users find their
options again; the defaults are the ``paper`` preset. The command line makes its flags from the same
fields, and a checkpoint stores them.
"""

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import Any


class InputError(ValueError):
    """What the user gave cannot be used; the message says which file, what is wrong, what to do."""


def shown(text: str) -> str:
    """A path or a line as an error shows it: not at any length."""
    return text if len(text) <= 200 else f"{text[:100]} ... {text[-50:]}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 speaker, 2 speakers."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def reason(error: Exception) -> str:
    """The first line of what another library says is wrong; the error's kind where it says nothing."""
    return shown(next(iter(str(error).strip().splitlines()), type(error).__name__))


def option(default: Any, text: str, choices: tuple[str, ...] | None = None) -> Any:
    """A dataclass field with the help text that the command line shows."""
    return field(default=default, metadata={"help": text, "choices": choices})


FRONT_ENDS = ("VGG3L", "VGG4L", "ResNet34")
POOLINGS = ("Statistics", "Attention", "MHA", "DoubleMHA")
VGG_BLOCKS = {"VGG3L": 3, "VGG4L": 4}
SHORTEST_SLICE = 2.0  # s; random slicing cuts batches no shorter
SHORTEST_CLIP = 0.2  # s; what is shorter has hardly a sound in it
FEATURE_FIELDS = ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels", "preemphasis", "trim_silence")
MODEL_FIELDS = (
    "front_end", "kernel_size", "batch_norm", "pooling_method", "heads_number", "embedding_size",
)  # fmt: skip
# The published trainer's spelling of options and values where it is not ours.
PUBLISHED_NAMES = {
    "scalingFactor": "scaling_factor",
    "marginFactor": "margin_factor",
    "randomSlicing": "random_slicing",
    "gradientAccumulation": "gradient_accumulation",
    "val_labels_path": "valid_labels_path",
    "num_spkrs": "num_accents",
    "modelCheckpoint": "checkpoint",
}
PUBLISHED_VALUES = {"Statistical": "Statistics"}


@dataclass(frozen=True)
class Config:
    """Features, model and training. ``Config()`` is the ``paper`` preset.

    Raises InputError if a value is outside its choices or its range.
    """

    # features
    sample_rate: int = option(
        0,
        "Hz to which audio is resampled; 0: 16000, or 8000 where the corpus has less (lists: each file's own)",
    )
    n_fft: int = option(512, "points of the FFT")
    win_length: float = option(0.025, "length of the Hamming window, s")
    hop_length: float = option(0.010, "step between frames, s")
    n_mels: int = option(80, "mel bands from 0 Hz to half the sample rate")
    preemphasis: float = option(0.97, "y[n] = x[n] - preemphasis * x[n-1]")
    trim_silence: float = option(0.0, "pauses are cut that are so many dB below the loudest part, 0: none")
    normalization: str = option(
        "cmn", "per utterance: minus the band's mean (cmn), also over its deviation (cmvn)",
        choices=("cmn", "cmvn"),
    )  # fmt: skip
    evaluation_window: float = option(
        0.0, "evaluate windows of this length and average them, s; 0: recordings whole"
    )

    # model
    front_end: str = option("VGG4L", "convolutional front end", choices=FRONT_ENDS)
    kernel_size: int = option(
        1024, "channels of the front end's last block, half of it in each before (512 is ResNet-34's own)"
    )
    batch_norm: bool = option(False, "batch norm after the pooling of each VGG block")
    pooling_method: str = option("DoubleMHA", "from frames to one vector", choices=POOLINGS)
    heads_number: int = option(32, "attention heads")
    mask_prob: float = option(0.3, "probability that a head is dropped while training")
    embedding_size: int = option(400, "size of the embedding")
    dropout: float = option(0.0, "dropout before each fully connected layer")

    # AM-Softmax
    scaling_factor: float = option(30.0, "AM-Softmax scale s")
    margin_factor: float = option(0.4, "AM-Softmax margin m")
    annealing: bool = option(False, "blend the margin in: alpha = 1000 / (1 + 1e-4 step)^2")

    # naming the sounds as well
    sound_weight: float = option(
        0.0, "weight of a second loss, for naming the sounds (phones) frame by frame, 0: they are not learned"
    )

    # windows and augmentation of the training data
    window_size: float = option(3.5, "random window of each training utterance, s")
    random_slicing: bool = option(False, "cut each batch to a random length from 2 s to the window")
    wave_augment: bool = option(
        False, "3 of 4 waves are shifted in pitch, stretched or made noisy (slow: reads the audio)"
    )
    speed_range: float = option(0.0, "speed is changed by up to this factor, 0.1: 0.9 to 1.1")
    tract_range: float = option(0.0, "vocal tract length is changed by up to this factor")
    spec_augment: bool = option(False, "hide random frames and mel bands (SpecAugment)")

    # who is heard how often
    balance: str = option(
        "none", "against unequal accents: draw them equally often (sampling), or weigh the loss (loss)",
        choices=("none", "sampling", "loss"),
    )  # fmt: skip
    clips_per_speaker: int = option(0, "clips of a speaker an epoch at most, others each time; 0: all")

    # training
    optimizer: str = option("Adam", "optimizer", choices=("Adam", "AdamW", "SGD", "RMSprop"))
    learning_rate: float = option(1e-4, "learning rate (its peak, with the cosine schedule)")
    schedule: str = option(
        "plateau", "halve the rate when validation stalls, or one warm-up and cosine decay",
        choices=("plateau", "cosine"),
    )  # fmt: skip
    patience: int = option(15, "validations without a better one before the rate is halved")
    weight_decay: float = option(1e-3, "weight decay")
    batch_size: int = option(64, "utterances a batch")
    gradient_accumulation: int = option(2, "batches an update")
    max_epochs: int = option(1_000_000, "epochs at most")
    early_stopping: int = option(25, "stop after this many validations without a better one, -1 never")
    criterion: str = option(
        "macro_f1", "what the best model is best in, on validation", choices=("macro_f1", "eer")
    )
    freeze_epochs: int = option(0, "epochs in which the front end is not trained (for fine-tuning)")
    print_every: int = option(1000, "updates between lines with the training loss, 0: none")
    validate_every: int = option(10_000, "updates between validations, 0: once an epoch")
    weight_averaging: float = option(0.0, "decay of the averaged weights that are validated, 0 off")
    precision: str = option(
        "auto", "auto: bfloat16 where the processor computes in it, else float32",
        choices=("auto", "float32", "bfloat16"),
    )  # fmt: skip
    device: str = option("auto", "auto, cpu, cuda or mps")
    num_workers: int = option(2, "processes that load data, 0: none")
    seed: int = option(1234, "seed of weights, order, windows and dropout")

    def __post_init__(self):
        for f in dataclasses.fields(self):
            value, choices = getattr(self, f.name), f.metadata["choices"]
            if f.type is float and type(value) is int:
                object.__setattr__(self, f.name, float(value))
            elif type(value) is not f.type:
                raise InputError(f"{f.name} must be of type {f.type.__name__}, not {value!r}")
            if choices and value not in choices:
                raise InputError(f"{f.name} must be one of {', '.join(choices)}, not {value!r}")
        channels, heads = self.encoder_size, self.heads_number
        if self.kernel_size < 8:
            raise InputError(f"kernel_size must be at least 8, not {self.kernel_size}")
        if heads < 1 or (self.pooling_method in ("MHA", "DoubleMHA") and channels % heads):
            raise InputError(f"heads_number {heads} does not divide the encoder's size {channels}")
        for name in ("mask_prob", "dropout", "weight_averaging", "speed_range", "tract_range"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        for name in (
            "n_fft", "win_length", "hop_length", "n_mels", "embedding_size", "scaling_factor",
            "window_size", "learning_rate", "batch_size", "gradient_accumulation", "max_epochs",
        ):  # fmt: skip
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("trim_silence", "evaluation_window", "clips_per_speaker", "sound_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be below 0, it is {getattr(self, name)}")
        if self.batch_size < 2:
            raise InputError("batch_size must be at least 2, for batch norm compares utterances")
        if self.window_size < self.hop_length:
            raise InputError(
                f"window_size {self.window_size} s is shorter than a frame (hop_length {self.hop_length} s)"
            )
        if self.random_slicing and self.window_size < SHORTEST_SLICE:
            raise InputError(f"random_slicing needs a window_size of at least {SHORTEST_SLICE:g} s")

    @property
    def encoder_size(self) -> int:
        """Size of the encoder's vector for one frame.

        Channels, for a VGG times what its 3 or 4 blocks leave of the mels; a ResNet averages over mels.
        """
        if self.front_end == "ResNet34":
            return self.kernel_size
        return self.kernel_size * -(-self.n_mels // 2 ** VGG_BLOCKS[self.front_end])

    @property
    def frames_a_step(self) -> int:
        """Frames that the front end makes one vector of: 8, 16 or 32."""
        return 32 if self.front_end == "ResNet34" else 2 ** VGG_BLOCKS[self.front_end]

    @property
    def first_frame(self) -> float:
        """The middle of the first frame, s; ``sample_rate`` must be set."""
        return self.n_fft / 2 / self.sample_rate

    @classmethod
    def paper(cls, **changes: Any) -> "Config":
        """The published trainer's defaults."""
        return cls.from_dict(changes)

    @classmethod
    def accent_fork(cls, **changes: Any) -> "Config":
        """The defaults of the published trainer's accent fork; its fine-tuning has windows of 1 s."""
        return cls.from_dict(ACCENT_FORK | changes)

    @classmethod
    def laptop(cls, **changes: Any) -> "Config":
        """A small VGG with batch norm that learns the bundled corpus in minutes on two cores."""
        return cls.from_dict(LAPTOP | changes)

    @classmethod
    def real_speech(cls, **changes: Any) -> "Config":
        """For recordings of people: a wider VGG that learns their sounds as well, which must be known."""
        return cls.from_dict(REAL_SPEECH | changes)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Make a configuration from a plain dict, the rest being defaults.

        Raises InputError if a key is not a field (the nearest one is named) or a value does not fit.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        for key in values:
            if key not in names:
                near = difflib.get_close_matches(key, names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
                raise InputError(f"unknown option {key!r}; {hint}")
        return cls(**values)

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed."""
        return self.from_dict(self.to_dict() | changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, as stored in checkpoints."""
        return dataclasses.asdict(self)


ACCENT_FORK = {"window_size": 0.2, "early_stopping": 50, "validate_every": 1000, "num_workers": 8}
LAPTOP = {
    "kernel_size": 64,
    "batch_norm": True,
    "heads_number": 8,
    "embedding_size": 128,
    "margin_factor": 0.2,
    "window_size": 2.5,
    "speed_range": 0.1,
    "tract_range": 0.1,
    "spec_augment": True,
    "optimizer": "AdamW",
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "weight_decay": 0.05,
    "weight_averaging": 0.99,
    "batch_size": 32,
    "gradient_accumulation": 1,
    "max_epochs": 30,
    "early_stopping": -1,
    "validate_every": 0,
    "num_workers": 0,
}
# What was chosen on the development speakers of the Speech Accent Archive; the README has the table.
REAL_SPEECH = LAPTOP | {
    "n_mels": 40,
    "trim_silence": 30.0,
    "kernel_size": 128,
    "heads_number": 4,
    "mask_prob": 0.0,
    "margin_factor": 0.1,
    "window_size": 4.0,
    "evaluation_window": 4.0,
    "sound_weight": 10.0,
    "learning_rate": 2e-3,
    "max_epochs": 250,
    "validate_every": 250,
}
PRESETS = {
    "paper": Config.paper,
    "accent_fork": Config.accent_fork,
    "laptop": Config.laptop,
    "real_speech": Config.real_speech,
}
FINETUNING = {"accent_fork": {"window_size": 1.0}}  # where a preset has other values for fine-tuning
