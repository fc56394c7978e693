"""Accents from speech: log-mels, a VGG, Double Multi-Head Attention, AM-Softmax, and pictures of it.

Modules in the order that data flows: config, files, audio, pickles, features, parallel, distributed, splits, listing,
corpus, layouts, download, known, survey, manifest, store, lists, sounds, alignment, augment, data, front_end,
pooling, loss, model, published, checkpoint, embeddings, metrics, calibration, classical, device, optimizer,
validation, training, plots, experiment, comparison, crossvalidation, explanation, map_page, recorder, exercises,
and the command line (flags, __main__).
"""

import importlib

__version__ = "0.1.0"

# Imported on first use, so that `import accentlib` does not wait for torch.
_HOMES = {
    "config": ("Config", "InputError"),
    "audio": ("load_audio",),
    "listing": ("from_folder", "from_table"),
    "known": ("read_known",),
    "survey": ("report_table",),
    "manifest": ("join_corpora", "leave_one_out", "make_corpus"),
    "splits": ("leave_one_group_out", "split_by_speaker"),
    "features": ("log_mel", "normalise", "file_log_mel"),
    "corpus": ("read_corpus", "select"),
    "store": ("open_store",),
    "sounds": ("FrameSounds", "cut_sounds", "read_sounds"),
    "alignment": ("align",),
    "model": ("AccentNet",),
    "published": ("from_published",),
    "checkpoint": ("load_model", "save_checkpoint"),
    "device": ("get_device",),
    "training": ("Trainer", "train"),
    "calibration": ("calibrate",),
    "embeddings": ("attention", "cosine_scores", "embed", "listen", "predict"),
    "classical": ("baselines",),
    "metrics": ("corpus_metrics", "equal_error_rate", "min_dcf", "neighbour_metrics"),
    "experiment": ("evaluate", "run", "score_pairs"),
    "explanation": ("attention_by_sound", "frame_attention", "hide_sounds"),
    "crossvalidation": ("cross_validate",),
    "map_page": ("accent_map",),
    "recorder": ("Recorder",),
    "exercises": ("check",),
    "comparison": ("compare", "comparison_table", "eer_change"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME.keys() - {"Recorder"})  # it needs an extra: `from accentlib import *` would fail


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'accentlib' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
