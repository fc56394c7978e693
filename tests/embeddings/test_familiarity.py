"""How far a recording is from the training material, and the answer where it is too far."""

import numpy as np
import pytest
import torch
from helpers import RATE, tone

from accentlib.config import InputError
from accentlib.embeddings.familiarity import ACCEPTED, PARTS, fit_familiar, points
from accentlib.embeddings.inference import UNLIKE, cut_clips, forward_log_mels, infer, predict
from accentlib.features.log_mel import normalise, wave_log_mel
from accentlib.network.accent_net import AccentNet, Familiar
from accentlib.network.checkpoint import load_model, save_checkpoint


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    return [tone(300 + 5 * i, 1.2, seed=i) for i in range(40)]


@pytest.fixture
def model(tiny, waves) -> AccentNet:
    torch.manual_seed(0)
    model = AccentNet(tiny.replace(evaluation_window=1.0), ["a", "b"]).eval()
    log_mels = [wave_log_mel(wave, tiny) for wave in waves]
    fit_familiar(model, log_mels[:20], log_mels[20:])
    return model


def test_the_distance_is_that_of_mahalanobis_under_the_covariance_of_probabilistic_pca():
    rng = np.random.default_rng(0)
    components = np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    mean, scale, x = rng.normal(size=5), rng.uniform(1, 2, 5), rng.normal(size=(7, 5))
    covariance = components.T @ np.diag([4.0, 2.0]) @ components
    covariance += 0.3 * (np.eye(5) - components.T @ components)
    expected = [(r := (row - mean) / scale) @ np.linalg.inv(covariance) @ r for row in x]
    steps = torch.tensor([1, 2, 4, 8, 16, 16, 32])
    usual = [8.0, 8.0, 4.0, 2.0, 1.0, 1.0, 1.0]  # from 8 at 2 steps to 1 at 16, halved whenever n doubles
    numbers = (mean, scale, components, [4.0, 2.0], 0.3, [[2.0, 16.0], [8.0, 1.0]], 0.0)
    familiar = Familiar(*(torch.as_tensor(np.array(n), dtype=torch.float32) for n in numbers))
    found = familiar.distances(torch.from_numpy(x.astype(np.float32)), steps)
    np.testing.assert_allclose(found, np.array(expected) / usual, rtol=1e-4)


def test_a_point_is_the_mean_of_the_front_ends_output(model, waves):
    log_mels = wave_log_mel(waves[0], model.config)
    found, steps = points(model, [log_mels])
    windows, _ = cut_clips([normalise(log_mels)], model.config)
    with torch.inference_mode():
        for window, point, n in zip(windows, found, steps, strict=True):
            encoded = model.encode(torch.from_numpy(window)[None])[0][0]
            assert n == len(encoded)
            expected = encoded.mean(0)
            torch.testing.assert_close(point, expected, atol=1e-5, rtol=1e-4)


def test_most_of_validation_is_familiar_and_noise_is_not(model, waves):
    log_mels = [wave_log_mel(wave, model.config) for wave in waves[20:]]
    windows, _ = cut_clips(log_mels, model.config)
    accepted = []
    for part in PARTS:  # short recordings are not farther than long ones
        heard = points(model, [x[: -(-len(x) // part)] for x in windows])
        distances = model.familiar.distances(*heard)
        assert distances.median() == pytest.approx(1, rel=1e-3)
        accepted.append((distances <= model.familiar.limit).float().mean())
    assert np.mean(accepted) == pytest.approx(ACCEPTED, abs=0.02)
    windows = model.familiar.distances(*points(model, log_mels)).numpy()
    *_, distances = forward_log_mels(model, log_mels)
    assert distances.mean() == pytest.approx(windows.mean(), rel=1e-4)  # all have two windows
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    table = predict(model, [(waves[0], RATE), (noise, RATE)])
    assert table["accent"].tolist()[1] == UNLIKE and table["accent"][0] != UNLIKE
    assert np.isnan(table["probability"][1]) and table["probability"][0] > 0
    assert table["nearest"].isin(["a", "b"]).all()


def test_what_is_familiar_is_kept_in_the_checkpoint(model, waves, tmp_path):
    save_checkpoint(tmp_path / "m.pt", model)
    again = load_model(tmp_path / "m.pt")
    clip = (waves[3], RATE)
    assert infer(again, clip).distances == pytest.approx(infer(model, clip).distances)
    model.familiar = None
    save_checkpoint(tmp_path / "old.pt", model)
    old = load_model(tmp_path / "old.pt")
    assert old.familiar is None and np.isnan(infer(old, clip).distances).all()
    assert predict(old, clip)["accent"].isin(["a", "b"]).all()


@pytest.mark.parametrize("change", ["shape", "nan", "name", "kind"])
def test_a_damaged_description_is_refused(model, tmp_path, change):
    save_checkpoint(tmp_path / "m.pt", model)
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    stored = content["familiar"]
    wrong = {
        "shape": stored | {"mean": stored["mean"][:-1]},
        "nan": stored | {"limit": torch.tensor(torch.nan)},
        "name": {"mean": stored["mean"]},
        "kind": [1],
    }
    torch.save(content | {"familiar": wrong[change]}, tmp_path / "m.pt")
    with pytest.raises(InputError, match="what is familiar to it cannot be used"):
        load_model(tmp_path / "m.pt")


def test_too_little_to_describe_leaves_it_unknown(tiny, waves):
    model = AccentNet(tiny, ["a", "b"])
    fit_familiar(model, [wave_log_mel(waves[0], tiny)], [wave_log_mel(waves[1], tiny)])
    assert model.familiar is None
