"""Accents from speech: log-mels, a VGG, Double Multi-Head Attention, AM-Softmax, and pictures of it.

Modules in the order that data flows: config, files, audio, features, corpus, store, augment, data, pooling,
loss, model, checkpoint, embeddings, metrics, training, plots, experiment, and the command line.
"""

import importlib

__version__ = "0.1.0"

# Imported on first use, so that `import accentlib` does not wait for torch.
_HOMES = {
    "config": ("Config", "InputError"),
    "audio": ("load_audio",),
    "features": ("log_mel", "normalise", "file_log_mel"),
    "corpus": ("read_corpus", "select"),
    "store": ("open_store",),
    "model": ("AccentNet",),
    "published": ("from_published",),
    "checkpoint": ("load_model", "save_checkpoint"),
    "device": ("get_device",),
    "training": ("Trainer", "train"),
    "embeddings": ("attention", "cosine_scores", "embed", "listen", "predict"),
    "metrics": ("baselines", "corpus_metrics", "neighbour_metrics"),
    "experiment": ("evaluate", "run"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'accentlib' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
