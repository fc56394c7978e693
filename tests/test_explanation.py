"""Which sounds carry the accent: attention to them, and what hiding them costs."""

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from accentlib.checkpoint import load_model
from accentlib.corpus import read_corpus
from accentlib.explanation import attention_by_sound, frame_attention, hidden, hide_sounds
from accentlib.features import normalise
from accentlib.model import AccentNet
from accentlib.sounds import FrameSounds, read_sounds
from accentlib.training import Trainer
from conftest import RATE, tone

LOG_MELS = np.random.default_rng(0).normal(5, 2, (96, 80)).astype(np.float32)


def make_model(config) -> AccentNet:
    torch.manual_seed(0)
    return AccentNet(config, ["a", "b"]).eval()


def test_attention_is_relative_to_an_even_one(tiny):
    model = make_model(tiny)
    relative = frame_attention(model, LOG_MELS)
    assert relative.shape == (96, tiny.heads_number + 1)
    np.testing.assert_allclose(relative.mean(axis=0), 1, rtol=1e-5)
    assert relative.std() > 0
    with torch.inference_mode():
        log_mels = torch.from_numpy(normalise(LOG_MELS))[None]
        weights = model.attend(log_mels)[1]
    together = (weights.frames[0] @ weights.heads[0]).numpy() * 6  # steps
    np.testing.assert_allclose(relative[::16, -1], together, rtol=1e-4)
    torch.nn.init.zeros_(model.pooling.frame_attention.query)
    np.testing.assert_allclose(frame_attention(model, LOG_MELS), 1, rtol=1e-5)
    mha = make_model(tiny.replace(pooling_method="MHA"))
    heads = frame_attention(mha, LOG_MELS)
    np.testing.assert_allclose(heads[:, -1], heads[:, :-1].mean(axis=1), rtol=1e-5)


def test_attention_by_sound_is_the_mean_of_its_frames(tiny):
    model = make_model(tiny)
    start = tiny.n_fft / 2 / RATE - 0.005
    rows = [("x", 0, 16), ("y", 16, 48), ("x", 48, 64), ("z", 200, 210)]  # z is past the end
    table = pd.DataFrame(
        {"path": "p", "start": start + 0.01 * a, "end": start + 0.01 * b, "sound": name}
        for name, a, b in rows
    )
    found = attention_by_sound(
        model, pd.DataFrame({"path": ["p"]}), {"p": LOG_MELS}, FrameSounds(table, tiny)
    )
    relative = frame_attention(model, LOG_MELS)
    expected = {"x": relative[[*range(16), *range(48, 64)]], "y": relative[16:48]}
    assert set(found["sound"]) == {"x", "y"} and found["all"].is_monotonic_decreasing
    for name, frames in expected.items():
        row = found[found["sound"] == name].iloc[0]
        np.testing.assert_allclose(row["head 1":"all"].astype(float), frames.mean(axis=0), rtol=1e-5)
        assert row["seconds"] == pytest.approx(0.32)


def test_hidden_frames_are_zero_after_normalisation():
    frames = np.zeros(96, bool)
    frames[10:30] = True
    x = normalise(hidden(LOG_MELS, frames))
    assert np.abs(x[10:30]).max() < 1e-5 and np.abs(x[30:]).max() > 1
    for nothing in (np.zeros(96, bool), np.ones(96, bool)):
        assert hidden(LOG_MELS, nothing) is LOG_MELS


def test_hiding_the_sound_that_differs_costs_most(tmp_path, tiny):
    """Two accents say all sounds alike, but for one."""
    clips, rows = [], []
    rng = np.random.default_rng(0)
    for n in range(24):
        accent = "xy"[n % 2]
        order = rng.permutation(list("ais") * 4)
        pitch = {"a": 200, "i": 1500 if accent == "x" else 2500, "s": 5000}
        wave = np.concatenate([tone(pitch[s] * (1 + 0.01 * (n % 5)), 0.16, seed=n) for s in order])
        sf.write(tmp_path / f"{n}.wav", wave, RATE)
        clips.append({"path": f"{n}.wav", "accent": accent, "speaker": f"{n}"})
        for i, s in enumerate(order):
            rows.append(
                {"path": f"{n}.wav", "start": 0.16 * i, "end": 0.16 * (i + 1), "sound": s, "position": i}
            )
    table = pd.DataFrame(clips).assign(split=["validation"] * 6 + ["train"] * 18)
    table.to_csv(tmp_path / "manifest.csv", index=False)
    pd.DataFrame(rows).to_csv(tmp_path / "sounds.csv", index=False)
    config = tiny.replace(window_size=1.0, max_epochs=70, mask_prob=0.0, front_end="VGG3L")
    trainer = Trainer(read_corpus(tmp_path), config, tmp_path / "run", progress=False)
    trainer.train()
    model = load_model(tmp_path / "run" / "best.pt")
    assert max(row["balanced_accuracy"] for row in trainer.history) == 1
    sounds = FrameSounds(read_sounds(tmp_path), trainer.config)
    found = hide_sounds(model, trainer.table, trainer.store, sounds, ["a", "i", "s"]).set_index("sound")
    assert found.index[0] == "i" and (found["clips"] == 24).all()
    assert found.loc["i", "loss"] > 2 * max(found.loc["i", "control"], found.loc["a", "loss"], 0.05)
