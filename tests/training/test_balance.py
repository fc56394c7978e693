"""Unequal accents, talkative speakers, long recordings and pauses."""

from collections import Counter

import numpy as np
import pytest
import soundfile as sf
import torch
import torch.nn.functional as F
from helpers import RATE, tone

import accentlib
from accentlib.config import Config, InputError
from accentlib.corpora.table import read_corpus
from accentlib.embeddings.inference import evaluation_windows, forward_log_mels
from accentlib.features.log_mel import cut_pauses, file_log_mel, normalise
from accentlib.features.store import open_store
from accentlib.network.accent_net import AccentNet
from accentlib.training.loop import Trainer
from accentlib.training.windows import EpochSampler, WindowDataset

TARGETS = [0] * 60 + [1] * 6 + [2] * 24
SPEAKERS = [f"s{i % 5}" for i in range(60)] + ["t"] * 6 + [f"u{i}" for i in range(24)]


def epoch_of(sampler: EpochSampler, epoch: int = 0) -> list[tuple]:
    sampler.epoch = epoch
    return [key for batch in sampler for key in batch]


def test_balanced_sampling_draws_every_accent_alike_and_never_the_same_window_twice(tiny):
    sampler = EpochSampler(TARGETS, tiny.replace(balance="sampling", batch_size=9))
    keys = epoch_of(sampler)
    assert len(keys) == 90 and len(set(keys)) == 90
    assert Counter(TARGETS[key[1]] for key in keys) == {0: 30, 1: 30, 2: 30}
    rare = Counter(key[1] for key in keys if TARGETS[key[1]] == 1)
    assert set(rare.values()) == {5}
    common = {key[1] for key in keys if TARGETS[key[1]] == 0}
    assert {key[1] for key in epoch_of(sampler, 1) if TARGETS[key[1]] == 0} != common  # others each time


def test_a_clip_drawn_again_gives_another_window(tmp_path, corpus_dir, tiny):
    table = read_corpus(corpus_dir)
    store = open_store(table, tmp_path, tiny)
    data = WindowDataset(store, table, ["high", "low", "middle"], tiny)
    first, again = data[(0, 5, 30)][0], data[(0, 5, 30, 1)][0]
    assert first.shape != again.shape or np.abs(first - again).max() > 0.1


def test_no_speaker_is_heard_more_often_than_the_cap(tiny):
    sampler = EpochSampler(TARGETS, tiny.replace(clips_per_speaker=4, batch_size=2), SPEAKERS)
    keys = epoch_of(sampler)
    assert Counter(SPEAKERS[key[1]] for key in keys) == {
        **{f"s{i}": 4 for i in range(5)}, "t": 4, **{f"u{i}": 1 for i in range(24)},
    }  # fmt: skip
    assert {key[1] for key in epoch_of(sampler, 1)} != {key[1] for key in keys}
    both = EpochSampler(
        TARGETS, tiny.replace(clips_per_speaker=4, balance="sampling", batch_size=3), SPEAKERS
    )
    assert Counter(TARGETS[key[1]] for key in epoch_of(both)) == {0: 16, 1: 16, 2: 16}


def test_weights_of_the_loss_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    ours = EpochSampler(TARGETS, Config()).class_weights(4)
    wanted = compute_class_weight("balanced", classes=np.array([0, 1, 2]), y=np.array(TARGETS))
    np.testing.assert_allclose(ours[:3], wanted, rtol=1e-6)


def test_the_weighted_loss_by_a_plain_loop(tiny):
    torch.manual_seed(0)
    model = AccentNet(tiny.replace(head_drop=0.0), ["a", "b", "c"])
    x, targets, weights = (
        torch.randn(6, 40, 80),
        torch.tensor([0, 0, 0, 1, 2, 0]),
        torch.tensor([0.5, 2.0, 3.0]),
    )
    model.eval()
    _, loss = model(x, None, targets, class_weights=weights)
    logits = model.am_softmax.margin_logits(model.cosines(model.embed(x)), targets)
    each = [F.cross_entropy(row[None], t[None]) * weights[t] for row, t in zip(logits, targets, strict=True)]
    assert loss.item() == pytest.approx(sum(each).item() / weights[targets].sum().item(), rel=1e-5)
    assert model(x, None, targets)[1].item() != pytest.approx(loss.item(), rel=1e-3)


@pytest.mark.parametrize("kinds", [{"balance": "sampling"}, {"balance": "loss"}, {"clips_per_speaker": 2}])
def test_training_with_it_goes_on_after_a_break_as_if_it_had_none(tmp_path, corpus_dir, tiny, kinds):
    table = read_corpus(corpus_dir)
    table = table[~((table["accent"] == "low") & (table["speaker"].isin(["low3", "low4"])))]
    config = tiny.replace(**kinds, max_epochs=3, schedule="plateau", batch_size=4)
    whole = Trainer(table, config, tmp_path / "whole", progress=False)
    whole.train()
    first = Trainer(table, config.replace(max_epochs=1), tmp_path / "parts", progress=False)
    first.train()
    second = Trainer(table, config, tmp_path / "parts", progress=False)
    second.resume(tmp_path / "parts" / "last.pt")
    second.train()
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    plain = Trainer(
        table, config.replace(balance="none", clips_per_speaker=0), tmp_path / "plain", progress=False
    )
    plain.train()
    assert not torch.equal(plain.model.fc1.weight, whole.model.fc1.weight)  # it does something


def test_label_files_do_not_say_who_speaks(tmp_path, corpus_dir, tiny):
    table = read_corpus(corpus_dir).drop(columns="speaker")
    with pytest.raises(InputError, match="clips_per_speaker needs a column speaker"):
        Trainer(table, tiny.replace(clips_per_speaker=2), tmp_path, progress=False)


@pytest.mark.parametrize(
    ("frames", "window"), [(1000, 300), (300, 300), (299, 300), (301, 300), (5, 0), (90, 7)]
)
def test_windows_cover_every_frame_with_the_fewest(frames, window):
    ends = evaluation_windows(frames, window)
    covered = np.zeros(frames, int)
    for start, stop in ends:
        covered[start:stop] += 1
    assert covered.min() == 1 and ends[0][0] == 0 and ends[-1][1] == frames
    assert len(ends) == (1 if not window else -(-frames // window))
    assert window == 0 or all(stop - start == min(window, frames) for start, stop in ends)


def test_long_recordings_are_heard_in_windows_and_averaged(tiny):
    torch.manual_seed(1)
    model = AccentNet(tiny.replace(evaluation_window=0.5), ["a", "b", "c"]).eval()
    rng = np.random.default_rng(0)
    long, short = (rng.normal(size=(n, 80)).astype(np.float32) + 3 for n in (170, 40))
    embeddings, logits, _ = forward_log_mels(model, [long, short])
    whole = normalise(long)
    parts = [torch.from_numpy(whole[start : start + 50])[None] for start in (0, 40, 80, 120)]
    with torch.inference_mode():
        np.testing.assert_allclose(logits[0], np.mean([model.logits(x)[0] for x in parts], axis=0), atol=1e-4)
        np.testing.assert_allclose(
            embeddings[0], np.mean([model.embed(x)[0] for x in parts], axis=0), atol=1e-4
        )
        np.testing.assert_allclose(
            logits[1], model.logits(torch.from_numpy(normalise(short))[None])[0], atol=1e-4
        )
    model.config = tiny  # whole
    alone, *_ = forward_log_mels(model, [long])
    with torch.inference_mode():
        np.testing.assert_allclose(alone[0], model.embed(torch.from_numpy(whole)[None])[0], atol=1e-4)
    assert np.abs(alone[0] - embeddings[0]).max() > 1e-3


def test_the_choice_is_made_by_a_flag_at_prediction(tmp_path, tiny):
    from accentlib.cli import main
    from accentlib.network.checkpoint import save_checkpoint

    torch.manual_seed(2)
    save_checkpoint(tmp_path / "m.pt", AccentNet(tiny, ["a", "b"]).eval())
    sf.write(tmp_path / "long.wav", np.concatenate([tone(200 + 90 * k, 0.7) for k in range(4)]), RATE)
    vectors = []
    for flags in ([], ["--evaluation_window", "0.5"], ["--evaluation-window", "9"]):
        argv = ["embed", "--checkpoint", str(tmp_path / "m.pt"), "--output", str(tmp_path / "v.npz")]
        assert main([*argv, *flags, str(tmp_path / "long.wav")]) == 0
        vectors.append(np.load(tmp_path / "v.npz")["embeddings"])
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)


def test_pauses_are_cut_where_it_is_asked_for_and_speech_is_not(tmp_path, tiny):
    hush = np.random.default_rng(0).normal(size=RATE).astype(np.float32) * 1e-4
    wave = np.concatenate([hush, tone(200, 0.5), hush, tone(300, 0.5), hush])
    cut = cut_pauses(wave, RATE, 40)
    assert len(cut) / RATE == pytest.approx(1.0 + 0.4, abs=0.1)  # 0.1 s on either side of both
    speech = tone(200, 1.0)
    np.testing.assert_array_equal(cut_pauses(speech, RATE, 40), speech)
    sf.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    plain = file_log_mel(tmp_path / "a.wav", tiny)
    trimmed = file_log_mel(tmp_path / "a.wav", tiny.replace(trim_silence=40.0))
    assert len(plain) > 390 and len(trimmed) == pytest.approx(140, abs=10)
    model = AccentNet(tiny.replace(trim_silence=40.0), ["a", "b"]).eval()
    vectors = accentlib.embed(model, [tmp_path / "a.wav", (cut, RATE)])  # training's path is prediction's
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-3)
