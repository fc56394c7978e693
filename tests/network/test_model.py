"""Poolings, masks, AM-Softmax and the whole network: reference numbers, plain loops, properties."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from accentlib.config import FRONT_ENDS, POOLINGS, Config, InputError
from accentlib.network.accent_net import AccentNet
from accentlib.network.am_softmax import AMSoftmax
from accentlib.network.padding import zero_padding
from accentlib.network.pooling import (
    AttentiveStatisticsPooling,
    DoubleMultiHeadAttentionPooling,
    DoubleMultiHeadStatisticsPooling,
    PhonePooling,
    dropped_heads,
)
from accentlib.network.vgg import VGGBlock

LABELS, PHONES = ["a", "b", "c", "d", "e"], ["SIL", "AA", "B"]


def make_model(tiny, **changes) -> AccentNet:
    """A network in evaluation mode whose batch norms are not at their start."""
    torch.manual_seed(0)
    model = AccentNet(tiny.replace(**changes), LABELS, PHONES)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.bias)
        if isinstance(module, torch.nn.Conv2d) and module.bias is not None:
            torch.nn.init.uniform_(module.bias, 0.1, 0.5)  # a bias that would leak
    return model.eval()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_padding_never_changes_an_embedding(tiny, pooling, front_end, batch_norm):
    model = make_model(tiny, pooling_method=pooling, front_end=front_end, batch_norm=batch_norm)
    lengths = torch.tensor([1, 16, 17, 31, 64, 101])
    torch.manual_seed(1)
    batch = 5 * torch.randn(len(lengths), 101, 80)
    noisy = batch.clone()
    for row, length in zip(noisy, lengths, strict=True):
        row[length:] = torch.nan  # whatever stands there must not matter
    together = model.embed(noisy, lengths)
    for row, length, embedding in zip(batch, lengths, together, strict=True):
        alone = model.embed(row[None, :length])
        torch.testing.assert_close(embedding, alone[0], rtol=1e-5, atol=1e-5)
    assert (together[0] - together[-1]).abs().max() > 1e-3  # they are not all alike


@pytest.mark.parametrize("pooling", POOLINGS)
def test_attention_weights_sum_to_one_over_speech_alone(tiny, pooling):
    model = make_model(tiny, pooling_method=pooling)
    lengths = torch.tensor([100, 33])
    _, weights = model.attend(torch.randn(2, 100, 80), lengths)
    if pooling == "Statistics":
        assert weights.frames is None
        return
    torch.testing.assert_close(weights.frames.sum(1), torch.ones(2, weights.frames.shape[2]))
    assert (weights.frames[1, math.ceil(33 / 16) :] == 0).all()
    if pooling.startswith("DoubleMHA"):
        torch.testing.assert_close(weights.heads.sum(1), torch.ones(2))


def test_double_mha_is_what_plain_loops_give():
    torch.manual_seed(0)
    batch, frames, heads, head_size = 2, 7, 4, 3
    pooling = DoubleMultiHeadAttentionPooling(heads * head_size, heads, 0.3).eval()
    x = torch.randn(batch, frames, heads * head_size)
    lengths = [7, 5]
    mask = torch.tensor([[t < n for t in range(frames)] for n in lengths])
    pooled, weights = pooling(x, mask)
    pooled, weights = pooled.detach(), weights.frames.detach()
    query, head_query = pooling.frame_attention.query.detach(), pooling.query.detach()
    for b in range(batch):
        contexts, head_scores = [], []
        for j in range(heads):
            part = x[b, : lengths[b], j * head_size : (j + 1) * head_size]
            scores = [math.exp(float(h @ query[:, j]) / math.sqrt(heads)) for h in part]
            context = sum(s / sum(scores) * h for s, h in zip(scores, part, strict=True))
            np.testing.assert_allclose(weights[b, : lengths[b], j], np.array(scores) / sum(scores), rtol=1e-4)
            contexts.append(context)
            head_scores.append(math.exp(float(context @ head_query[:, 0])))
        expected = sum(s / sum(head_scores) * c for s, c in zip(head_scores, contexts, strict=True))
        torch.testing.assert_close(pooled[b], expected)


def spread(part: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean and deviation of the rows of ``part``, by plain loops."""
    mean = sum(w * h for w, h in zip(weights, part, strict=True))
    variance = sum(w * (h - mean) ** 2 for w, h in zip(weights, part, strict=True))
    return torch.cat([mean, variance.sqrt()])


def test_double_mha_with_deviations_is_what_plain_loops_give():
    torch.manual_seed(0)
    heads, size, length = 4, 3, 5
    pooling = DoubleMultiHeadStatisticsPooling(heads * size, heads, 0.3).eval()
    x = torch.randn(1, 7, heads * size)
    with torch.no_grad():
        pooled, weights = pooling(x, torch.arange(7)[None] < length)
        _, plain = pooling.frame_attention(x, torch.arange(7)[None] < length)
        torch.testing.assert_close(weights.frames, plain.frames)  # it attends as the paper's does
        parts = [x[0, :length, j * size : (j + 1) * size] for j in range(heads)]
        contexts = [spread(part, weights.frames[0, :length, j]) for j, part in enumerate(parts)]
        scores = [math.exp(float(context @ pooling.query[:, 0])) for context in contexts]
        expected = sum(s / sum(scores) * c for s, c in zip(scores, contexts, strict=True))
    torch.testing.assert_close(pooled[0], expected)


def test_attentive_statistics_are_what_plain_loops_give():
    torch.manual_seed(0)
    pooling, x, length = AttentiveStatisticsPooling(6).eval(), torch.randn(1, 7, 6), 5
    with torch.no_grad():
        pooled, weights = pooling(x, torch.arange(7)[None] < length)
        scores = [math.exp(float(pooling.score(torch.tanh(pooling.hidden(h))))) for h in x[0, :length]]
        shares = torch.tensor(scores) / sum(scores)
        torch.testing.assert_close(weights.frames[0, :length, 0], shares)
        torch.testing.assert_close(pooled[0], spread(x[0, :length], shares))


def test_phone_pooling_is_what_plain_loops_give():
    torch.manual_seed(0)
    size, phones, values, length = 6, 4, 3, 5
    pooling, x = PhonePooling(size, phones, values=values).eval(), torch.randn(1, 7, size)
    shares = torch.randn(1, 7, phones).softmax(-1)
    shares[0, :length, 2] = 0  # a phone that is not spoken
    with torch.no_grad():
        pooled, weights = pooling(x, torch.arange(7)[None] < length, shares)
        part, mean = x[0, :length], x[0, :length].mean(0)
        torch.testing.assert_close(pooled[0, : 2 * size], spread(part, torch.full((length,), 1 / length)))
        projected = [pooling.values.weight @ (h - mean) for h in part]
        prior = math.log(1 + math.exp(float(pooling.prior)))
        for phone, row in enumerate(pooled[0, 2 * size :].reshape(phones, values)):
            said = shares[0, :length, phone]
            total = sum(s * v for s, v in zip(said, projected, strict=True))
            torch.testing.assert_close(row, total / (float(said.sum()) + prior))
            if said.any():
                torch.testing.assert_close(weights.frames[0, :length, phone], said / said.sum())
        assert (pooled[0, 2 * size :].reshape(phones, values)[2] == 0).all()
        torch.testing.assert_close(weights.heads[0], shares[0, :length].mean(0))


def test_phones_and_statistics_are_dropped_in_training_alone():
    torch.manual_seed(0)
    size, phones, values = 6, 4, 3
    pooling = PhonePooling(size, phones, head_drop=0.25, values=values)
    x, shares = torch.randn(1, 7, size).repeat(4000, 1, 1), torch.randn(1, 7, phones).softmax(-1)
    given = [x, torch.ones(4000, 7, dtype=torch.bool), shares.repeat(4000, 1, 1)]
    with torch.no_grad():
        whole, trained = pooling.eval()(*given)[0], pooling.train()(*given)[0]
    ends = [2 * size + values * k for k in range(phones + 1)]
    for start, end in zip([0, *ends], ends, strict=False):
        kept = trained[:, start:end] == whole[:, start:end]
        assert (kept.all(1) | (trained[:, start:end] == 0).all(1)).all()  # a phone goes, or stays, as one
        assert abs(kept.all(1).float().mean() - 0.75) < 0.03


def test_the_accent_does_not_change_what_counts_as_which_phone(tiny):
    model = AccentNet(tiny.replace(pooling_method="Phones"), LABELS, PHONES)
    model(torch.randn(4, 60, 80), None, torch.arange(4))[1].backward()
    assert model.phone_layer.weight.grad is None


@pytest.mark.parametrize("step", [1, 2, 4, 8, 16])
def test_a_step_may_be_shorter_than_the_mels_are_pooled(tiny, step):
    model = make_model(tiny, step_frames=step)
    encoded, steps = model.encode(torch.randn(2, 101, 80), torch.tensor([101, 33]))
    assert encoded.shape == (2, math.ceil(101 / step), tiny.encoder_size)
    assert steps.tolist() == [math.ceil(101 / step), math.ceil(33 / step)]
    assert model.config.frames_a_step == step


def test_steps_that_no_network_has_are_refused(tiny):
    for front_end, step in (("VGG4L", 32), ("VGG4L", 5), ("VGG3L", 16), ("ResNet34", 8)):
        with pytest.raises(InputError, match="step"):
            tiny.replace(front_end=front_end, step_frames=step)


@pytest.mark.parametrize(("heads", "prob"), [(4, 0.3), (8, 0.3), (32, 0.4), (2, 0.5), (5, 0.0)])
def test_heads_are_dropped_with_exactly_mask_prob_and_never_all(heads, prob):
    torch.manual_seed(0)
    dropped = dropped_heads(torch.zeros(40_000, heads), prob)
    np.testing.assert_allclose(dropped.float().mean(0), prob, atol=0.012)
    assert not dropped.all(dim=1).any()


@pytest.mark.parametrize(("heads", "prob"), [(1, 0.3), (2, 0.9), (4, 0.99)])
def test_one_head_always_stays(heads, prob):
    assert not dropped_heads(torch.zeros(1000, heads), prob).all(dim=1).any()


def test_dropped_heads_get_no_weight_in_training_alone():
    torch.manual_seed(0)
    pooling = DoubleMultiHeadAttentionPooling(40, 10, 0.3)
    x, mask = torch.randn(500, 6, 40), torch.ones(500, 6, dtype=torch.bool)
    assert ((pooling(x, mask)[1].heads == 0).sum(1) == 3).all()
    assert (pooling.eval()(x, mask)[1].heads > 0).all()


def test_am_softmax_without_margin_is_scaled_cosine():
    torch.manual_seed(0)
    head, x = AMSoftmax(6, 4, scale=30, margin=0.0), torch.randn(5, 6)
    targets = torch.tensor([0, 1, 2, 3, 0])
    cosines = head.cosines(x)
    expected = F.cosine_similarity(x[:, None, :], head.weight.T[None], dim=2)
    torch.testing.assert_close(cosines, expected)
    torch.testing.assert_close(head.margin_logits(cosines, targets), 30 * expected)


def test_the_margin_handicaps_the_true_class_alone_and_annealing_blends_it_in():
    head = AMSoftmax(6, 4, scale=30, margin=0.4)
    cosines, targets = torch.rand(3, 4), torch.tensor([2, 0, 3])
    difference = 30 * cosines - head.margin_logits(cosines, targets)
    torch.testing.assert_close(difference, 12.0 * F.one_hot(targets, 4), atol=1e-5, rtol=0)
    annealed = AMSoftmax(6, 4, scale=30, margin=0.4, annealing=True)
    for step in (0, 10_000, 1_000_000):
        alpha = 1000 / (1 + 1e-4 * step) ** 2
        assert annealed.margin_at(step) == pytest.approx(0.4 / (1 + alpha))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_gradient_reaches_every_weight(tiny, pooling, front_end):
    torch.manual_seed(0)
    config = tiny.replace(pooling_method=pooling, front_end=front_end, head_drop=0.0, phone_weight=1.0)
    model, lengths = AccentNet(config, LABELS, PHONES), torch.tensor([60, 50, 40, 60, 30, 60, 20, 60])
    phones = torch.randint(0, len(PHONES), (8, 60))
    _, loss = model(torch.randn(8, 60, 80), lengths, torch.arange(8) % 5, phones=phones)
    loss.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}


def test_resnet34_of_few_channels_trains_on_a_processor_without_avx512():
    code = """if True:
        import torch
        from accentlib.config import Config
        from accentlib.network.resnet import ResNet34

        for channels in range(8, 65, 8):  # 1 to 8 channels in the first blocks
            torch.manual_seed(0)
            front_end = ResNet34(Config(front_end="ResNet34", channels=channels, heads=1))
            front_end.to(memory_format=torch.channels_last).eval()  # batch norm's own statistics magnify rounding
            x = torch.randn(2, 40, 24)
            gradients = []
            for onednn in (True, False):
                with torch.backends.mkldnn.flags(enabled=onednn):
                    loss = front_end(x, None)[0].square().mean()
                    gradients.append(torch.autograd.grad(loss, list(front_end.parameters())))
            for one, other in zip(*gradients, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))
    """
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | AVX2, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr  # -6 and -11 are crashes


class Exported(torch.nn.Module):
    """What an engineer exports: embedding and logits from log-mels."""

    def __init__(self, model: AccentNet):
        super().__init__()
        self.model = model

    def forward(self, log_mels, lengths=None):
        embedding = self.model.embed(log_mels, lengths)
        return embedding, self.model.am_softmax.scale * self.model.cosines(embedding)


@pytest.mark.parametrize("lengths", [None, [60, 41]])
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_an_exported_model_agrees_with_its_own_on_clips_of_another_length(tiny, front_end, lengths):
    model = Exported(make_model(tiny, front_end=front_end)).eval()
    example = (torch.randn(2, 60, 80), lengths and torch.tensor(lengths))
    any_size = torch.export.Dim.DYNAMIC
    shapes = ({0: any_size, 1: any_size}, lengths and {0: any_size})
    exported = torch.export.export(model, example, dynamic_shapes=shapes).module()
    for clips, frames in ((1, 33), (2, 101), (3, 64)):  # two steps and more; export takes one for a constant
        log_mels = torch.randn(clips, frames, 80)
        of_clips = lengths and torch.tensor([frames, frames - 20, 1][:clips])
        for ours, theirs in zip(model(log_mels, of_clips), exported(log_mels, of_clips), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_batch_of_one_and_a_single_frame(tiny):
    model = make_model(tiny)
    assert model.embed(torch.randn(1, 1, 80)).shape == (1, 12)
    assert model.logits(torch.randn(1, 40, 80)).shape == (1, 5)


def test_heads_must_divide_the_encoder():
    with pytest.raises(InputError, match="heads 7 does not divide"):
        Config(channels=16, heads=7)


def test_the_order_of_relu_and_maximum_changes_neither_result_nor_gradient(tiny):
    """Also where padding is within the last window."""
    torch.manual_seed(0)
    block = VGGBlock(3, 4, batch_norm=False)
    lengths = torch.tensor([7, 10])
    x = torch.randn(2, 3, 10, 6)
    own = block(zero_padding(x, lengths), lengths)[0]
    plain = zero_padding(F.relu(block.conv1(zero_padding(x, lengths))), lengths)
    plain = F.max_pool2d(zero_padding(F.relu(block.conv2(plain)), lengths), 2, ceil_mode=True)
    assert torch.equal(own, plain)
    for a, b in zip(
        *(torch.autograd.grad(y.sin().sum(), [*block.parameters()]) for y in (own, plain)), strict=True
    ):
        torch.testing.assert_close(a, b)
