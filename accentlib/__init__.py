"""Accents from speech: log-mels, a VGG, Double Multi-Head Attention, AM-Softmax, and pictures of it."""

import importlib

__version__ = "0.2.0"

# Imported on first use, so that `import accentlib` does not wait for torch.
_HOMES = {
    "config": ("Config", "InputError"),
    "device": ("get_device",),
    "features.audio": ("load_audio",),
    "features.log_mel": ("log_mel", "normalise", "file_log_mel"),
    "features.resynthesis": ("resynthesise",),
    "features.store": ("open_store",),
    "network.accent_net": ("AccentNet",),
    "network.ensemble": ("Ensemble",),
    "network.export": ("export",),
    "network.stages": ("stages",),
    "network.checkpoint": ("load_model", "save_checkpoint"),
    "training.loop": ("Trainer", "train"),
    "embeddings.inference": ("attention", "cosine_scores", "embed", "infer", "predict", "predict_windows"),
    "embeddings.estimator": ("AccentEmbedder",),
    "embeddings.metrics": ("corpus_metrics", "equal_error_rate", "min_dcf", "neighbour_metrics"),
    "embeddings.calibration": ("calibrate",),
    "embeddings.explain": ("attention_by_phone", "explain", "frame_attention"),
    "experiments.baselines": ("baselines",),
    "experiments.run": ("evaluate", "run"),
    "experiments.significance": ("significance",),
    "experiments.vectors": ("evaluate_vectors",),
    "experiments.compare": ("compare", "comparison_table", "eer_change"),
    "experiments.crossvalidate": ("cross_validate",),
    "corpora.sources": ("from_folder", "from_table"),
    "corpora.textgrids": ("from_textgrids",),
    "corpora.known": ("read_known",),
    "corpora.survey": ("report_table",),
    "corpora.make": ("join_corpora", "make_corpus"),
    "corpora.splits": ("split_by_speaker",),
    "corpora.table": ("read_corpus", "select"),
    "corpora.phones": ("FramePhones", "cut_phones", "ipa", "read_phones"),
    "corpora.recogniser": ("find_phones",),
    "published.weights": ("from_published",),
    "published.evaluate": ("score_pairs",),
    "interactive.map_page": ("accent_map",),
    "interactive.recorder": ("Recorder",),
    "interactive.guess": ("Guess",),
    "interactive.slider": ("Slider",),
    "interactive.exercises": ("check",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
# Not the widgets, which need an extra: `from accentlib import *` would fail.
__all__ = sorted(_HOME.keys() - {"Guess", "Recorder", "Slider"})


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'accentlib' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
