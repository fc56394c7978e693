"""Several networks that answer as one: the mean of what each answers alone, in one checkpoint."""

import numpy as np
import pytest
import torch
from helpers import RATE, tone, write_corpus, write_phones

from accentlib import embed, explain, predict, read_corpus, read_phones
from accentlib.config import InputError
from accentlib.features.log_mel import normalise, wave_log_mel
from accentlib.network.accent_net import AccentNet, Calibration, Familiar
from accentlib.network.checkpoint import load_model, save_checkpoint
from accentlib.network.ensemble import Ensemble
from accentlib.training.state import Trainer

LABELS, PHONES = ["a", "b", "c"], ["AA", "S", "SIL"]


def network(config, seed: int) -> AccentNet:
    torch.manual_seed(seed)
    model = AccentNet(config.replace(seed=seed), LABELS, PHONES)
    torch.nn.init.normal_(model.phone_layer.weight, std=1)
    model.trained_on = frozenset([seed, 7])
    return model.eval()


@pytest.fixture(params=["Phones", "DoubleMHA", "Statistics"])
def networks(tiny, request) -> list[AccentNet]:
    config = tiny.replace(pooling_method=request.param, evaluation_window=0.5)
    return [network(config, seed) for seed in (0, 1, 2)]


def log_mels(config, seconds: float = 1.2) -> torch.Tensor:
    return torch.from_numpy(normalise(wave_log_mel(tone(300, seconds), config)))[None]


@torch.inference_mode()
def test_an_ensemble_answers_with_the_mean_of_its_networks(networks):
    x, both = log_mels(networks[0].config), Ensemble(networks).eval()
    torch.testing.assert_close(both.logits(x), sum(one.logits(x) for one in networks) / 3)
    torch.testing.assert_close(both.classify(both.embed(x)), both.logits(x))
    torch.testing.assert_close(both.embed(x), torch.cat([one.embed(x) for one in networks], dim=1))
    heard = sum(one.phone_probabilities(x) for one in networks) / 3
    torch.testing.assert_close(both.phone_probabilities(x), heard)
    _, weights = both.attend(x)
    for i, found in enumerate(weights):
        alone = [one.attend(x)[1][i] for one in networks]
        assert (found is None) == (alone[0] is None)
        if found is not None:
            torch.testing.assert_close(found, sum(alone) / 3)
    assert both.trained_on == {0, 1, 2, 7}


@torch.inference_mode()
def test_padding_never_changes_an_ensembles_embedding(networks):
    both, (x,) = Ensemble(networks).eval(), log_mels(networks[0].config)
    batch = torch.full((2, len(x) + 30, x.shape[1]), torch.nan)
    batch[0, : len(x)], batch[1, :40] = x, x[:40]
    together = both.embed(batch, torch.tensor([len(x), 40]))
    for found, length in zip(together, (len(x), 40), strict=True):
        torch.testing.assert_close(found, both.embed(x[None, :length])[0], rtol=1e-4, atol=1e-5)


def test_the_loss_of_an_ensemble_is_the_mean_of_losses(networks):
    x, target = log_mels(networks[0].config), torch.tensor([1])
    alone = [one(x, None, target)[1] for one in networks]
    torch.testing.assert_close(Ensemble(networks)(x, None, target)[1], sum(alone) / 3)


def test_a_checkpoint_keeps_an_ensemble(networks, tmp_path):
    both, clip = Ensemble(networks).eval(), (tone(300, 1.2), RATE)
    size = 3 * both.config.encoder_size
    numbers = (torch.zeros(size), torch.ones(size), torch.zeros(4, size), torch.ones(4), torch.tensor(1.0))
    both.familiar = Familiar(*numbers, torch.ones(2, 1), torch.tensor(1e9))
    both.calibration = Calibration(2.0, 0.5, 0.1)
    save_checkpoint(tmp_path / "three.pt", both)
    again = load_model(tmp_path / "three.pt")
    np.testing.assert_array_equal(embed(again, clip), embed(both, clip))
    assert predict(again, clip).equals(predict(both, clip))
    assert (again.trained_on, again.calibration) == (both.trained_on, both.calibration)
    assert explain(again, clip).equals(explain(both, clip))
    content = torch.load(tmp_path / "three.pt", weights_only=True)
    content["model"] = {name: x for name, x in content["model"].items() if name != "networks.1.fc1.weight"}
    torch.save(content, tmp_path / "two.pt")
    with pytest.raises(InputError, match="two.pt: networks.1.fc1.weight is no such weight in the checkpoint"):
        load_model(tmp_path / "two.pt")


def test_networks_of_other_kinds_make_no_ensemble(tiny):
    with pytest.raises(InputError, match="same settings"):
        Ensemble([network(tiny, 0), network(tiny.replace(channels=32), 1)])


def test_fine_tuning_starts_from_the_first_network_and_nothing_resumes(tiny, tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    write_phones(corpus, *PHONES)
    config = tiny.replace(phone_weight=1.0, max_epochs=1)
    networks = [network(config.replace(sample_rate=RATE), seed) for seed in (0, 1)]
    save_checkpoint(tmp_path / "two.pt", Ensemble(networks))
    options = {"phones": read_phones(corpus), "progress": False}
    trainer = Trainer(read_corpus(corpus), config, tmp_path / "run", **options)
    trainer.start_from(tmp_path / "two.pt")
    torch.testing.assert_close(trainer.model.fc1.weight.detach(), networks[0].fc1.weight.detach())
    assert trainer.learned == {0, 1, 7}
    with pytest.raises(InputError, match="holds a model only, no training to resume"):
        trainer.resume(tmp_path / "two.pt")
