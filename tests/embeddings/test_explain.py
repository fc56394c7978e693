"""Which phones carry the accent: attention to phones, and reasons of an answer."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import RATE, tone

from accentlib.config import POOLINGS, InputError
from accentlib.corpora.phones import FramePhones
from accentlib.embeddings.explain import (
    attention_by_phone,
    explain,
    frame_attention,
)
from accentlib.embeddings.inference import cut_clips, forward_log_mels, log_mel_attention
from accentlib.features.log_mel import normalise, wave_log_mel
from accentlib.network.accent_net import AccentNet, Calibration

LOG_MELS = np.random.default_rng(0).normal(5, 2, (96, 80)).astype(np.float32)


def make_model(config) -> AccentNet:
    torch.manual_seed(0)
    return AccentNet(config, ["a", "b"], ["x", "y"]).eval()


def test_attention_is_relative_to_uniform_attention(tiny):
    model = make_model(tiny)
    relative = frame_attention(model, LOG_MELS)
    assert relative.shape == (96, tiny.heads + 1)
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


@pytest.mark.parametrize("pooling", [name for name in POOLINGS if name != "Statistics"])
def test_attention_by_phone_is_the_mean_of_its_frames(tiny, pooling):
    model = make_model(tiny.replace(pooling_method=pooling))
    start = tiny.n_fft / 2 / RATE - 0.005
    rows = [("x", 0, 16), ("y", 16, 48), ("x", 48, 64), ("z", 200, 210)]  # z is past the end
    table = pd.DataFrame(
        {"path": "p", "start": start + 0.01 * a, "end": start + 0.01 * b, "phone": name}
        for name, a, b in rows
    )
    phones = FramePhones(table, tiny)
    found = attention_by_phone(model, pd.DataFrame({"path": ["p"]}), {"p": LOG_MELS}, phones)
    relative = frame_attention(model, LOG_MELS)
    expected = {"x": relative[[*range(16), *range(48, 64)]], "y": relative[16:48]}
    assert set(found["phone"]) == {"x", "y"} and found["all"].is_monotonic_decreasing
    for name, frames in expected.items():
        row = found[found["phone"] == name].iloc[0]
        np.testing.assert_allclose(row["head 1":"all"].astype(float), frames.mean(axis=0), rtol=1e-5)
        assert row["seconds"] == pytest.approx(0.32)
    clips = pd.DataFrame(
        {"id": ["p"], "path": ["p.wav"], "accent": ["a"]}
    )  # store and phones have ids, not paths
    pd.testing.assert_frame_equal(attention_by_phone(model, clips, {"p": LOG_MELS}, phones), found)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_attention_to_clips_in_batches_is_that_to_each_alone(tiny, pooling):
    model = make_model(tiny.replace(pooling_method=pooling))
    clips = [LOG_MELS[:n] for n in (96, 17, 40, 96, 1, 95)]
    for clip, together in zip(clips, log_mel_attention(model, clips), strict=True):
        with torch.inference_mode():
            alone = model.attend(torch.from_numpy(normalise(clip))[None])[1]
        for own, other in zip(alone, together, strict=True):
            assert (own is None) == (other is None)
            if own is not None:
                np.testing.assert_allclose(own[0], other, atol=1e-5)


@pytest.fixture(params=["Phones", "DoubleMHA", "Statistics"])
def knows_phones(tiny, request):
    """A model that learned three phones, with windows of half a second."""
    torch.manual_seed(0)
    config = tiny.replace(pooling_method=request.param, evaluation_window=0.5)
    model = AccentNet(config, ["a", "b", "c"], ["AA", "S", "SIL"])
    torch.nn.init.normal_(model.phone_layer.weight, std=1)  # surer of its phones than random weights are
    model.calibration = Calibration(temperature=0.02, window_gain=0.3)  # what little it tells, enlarged
    return model.eval()


def plain_reasons(model, log_mels, answer):
    """One window, one phone and one step after the other."""
    windows, _ = cut_clips([normalise(log_mels)], model.config)
    odds = []
    for left_out in (None, 0, 1, 2):
        logits = torch.zeros(3)
        for window in windows:
            (steps,), _ = model.encode(torch.from_numpy(window)[None])
            if left_out is not None:
                heard = model.phone_probabilities(torch.from_numpy(window)[None])[0, :, left_out]
                mean = sum((1 - h) * step for h, step in zip(heard, steps, strict=True)) / (1 - heard).sum()
                steps = torch.stack([(1 - h) * step + h * mean for h, step in zip(heard, steps, strict=True)])
            pooled, _ = model.pool(steps[None], torch.tensor([len(steps)]))
            logits += model.am_softmax.scale * model.cosines(model.embed_pooled(pooled))[0]
        z = (logits / len(windows) * len(windows) ** 0.3 / 0.02).double().tolist()
        others = [x for i, x in enumerate(z) if i != answer]
        odds.append(z[answer] - max(others) - math.log(sum(math.exp(x - max(others)) for x in others)))
    return [odds[0] - x for x in odds[1:]]


@pytest.mark.parametrize("accent", ["", "b"])
def test_a_reason_is_the_fall_of_the_log_odds_when_a_phone_is_left_out(knows_phones, accent):
    clip = (np.concatenate([tone(300, 0.5), tone(2000, 0.485)]), RATE)
    log_mels = wave_log_mel(clip[0], knows_phones.config)
    answer = "abc"[forward_log_mels(knows_phones, [log_mels])[1][0].argmax()]
    found = explain(knows_phones, clip, accent)
    assert (found["accent"] == (accent or answer)).all() and found["reason"].is_monotonic_decreasing
    with torch.inference_mode():
        expected = plain_reasons(knows_phones, log_mels, "abc".index(accent or answer))
    names = {"AA": "ɑ", "S": "s", "SIL": "pause"}
    assert found["ipa"].tolist() == [names[phone] for phone in found["phone"]] and len(found) > 1
    of_phone = dict(zip(names, expected, strict=True))
    np.testing.assert_allclose(found["reason"], [of_phone[x] for x in found["phone"]], rtol=0.02, atol=1e-3)
    assert found["reason"].abs().max() > 5e-3
    assert found["seconds"].sum() == pytest.approx(0.01 * len(log_mels), abs=0.16)


def test_explain_refuses_what_it_cannot_explain(knows_phones, tiny):
    clip = (tone(300, 2.0), RATE)
    with pytest.raises(InputError, match="does not know 'x'; it knows a, b, c"):
        explain(knows_phones, clip, "x")
    with pytest.raises(InputError, match="learned no phones"):
        explain(AccentNet(tiny, ["a", "b"]).eval(), clip)


def test_a_phone_that_fills_a_clip_has_a_finite_reason(knows_phones):
    torch.nn.init.constant_(knows_phones.phone_layer.bias, 0)
    with torch.no_grad():
        knows_phones.phone_layer.bias[1] = 1e4
    found = explain(knows_phones, (tone(300, 1.0), RATE))
    assert found["phone"].tolist() == ["S"] and np.isfinite(found["reason"]).all()
