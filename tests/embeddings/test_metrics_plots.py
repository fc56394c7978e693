"""Metrics against counts by hand, and pictures that show what they claim."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import accentlib
from accentlib import plots
from accentlib.embeddings.metrics import (
    accent_scores,
    classification_metrics,
    corpus_metrics,
    equal_error_rate,
    min_dcf,
    neighbour_metrics,
    speaker_interval,
    table_scores,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_figures_by_hand():
    truth, predicted = list("aaaabb"), list("aaabba")
    figures = classification_metrics(truth, predicted, "abc")  # c does not occur
    assert figures["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert figures["macro_f1"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert figures["chance"] == 1 / 2
    table = pd.DataFrame({"accent": truth, "speaker": list("112233")})
    metrics = corpus_metrics(table, predicted, "abc")
    assert metrics["speakers"] == 3 and metrics["interval"] == [
        *speaker_interval(truth, predicted, list("112233"))
    ]
    unknown = corpus_metrics(table[["accent"]], predicted, "abc")
    assert unknown["speakers"] is None and unknown["interval"] is None


def errors_at(threshold, clients, impostors):
    return np.mean(clients < threshold), np.mean(impostors >= threshold)


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_eer_and_min_dcf_agree_with_a_slow_search(shift):
    rng = np.random.default_rng(0)
    clients, impostors = rng.normal(shift, 1, 400), rng.normal(0, 1, 3000)
    thresholds = np.sort(np.concatenate([clients, impostors, [np.inf]]))
    errors = np.array([errors_at(t, clients, impostors) for t in thresholds])
    nearest = errors[np.abs(errors[:, 0] - errors[:, 1]).argmin()].mean()
    assert equal_error_rate(clients, impostors) == pytest.approx(nearest, abs=1.5e-3)
    cost = min(0.01 * miss + 0.99 * alarm for miss, alarm in errors) / 0.01
    assert min_dcf(clients, impostors) == pytest.approx(cost)


def test_eer_by_hand():
    assert equal_error_rate(np.array([2, 3]), np.array([0, 1])) == 0
    assert equal_error_rate(np.array([0, 1]), np.array([2, 3])) == 1
    assert equal_error_rate(np.array([1, 3, 5, 7]), np.array([0, 2, 2, 2])) == 0.25
    assert equal_error_rate(np.zeros(3), np.zeros(5)) == 0.5  # all scores are equal
    assert np.isnan(equal_error_rate(np.zeros(3), np.array([])))
    assert min_dcf(np.zeros(3), np.zeros(5)) == 1  # rejecting everyone is the best


def test_accent_pairs_are_of_different_speakers():
    embeddings = np.eye(4)
    embeddings[3] = [1, 1, 0, 0]
    table = pd.DataFrame({"accent": list("xxyy"), "speaker": list("1123")})
    same, different = accent_scores(embeddings, table)
    assert sorted(same) == [0]  # only 2 and 3 share an accent but not the speaker
    np.testing.assert_allclose(sorted(different), [0, 0, 0.5**0.5, 0.5**0.5])
    pairs = pd.DataFrame({"a": list("wxyz"), "b": list("wyxw")})
    np.testing.assert_allclose(table_scores(pairs, list("wxyz"), embeddings), [1, 0, 0, 0.5**0.5])


def test_a_nearest_neighbour_of_the_same_speaker_does_not_count():
    # each speaker's two clips are alike; the next nearest speaker has the other accent
    embeddings = np.array([[1, 0], [1, 0.01], [0.9, 0.4], [0.9, 0.41], [0, 1], [0.01, 1]])
    table = pd.DataFrame({"accent": list("xxyyyy"), "speaker": list("112233")})
    figures = neighbour_metrics(embeddings, table)
    assert figures["nearest_neighbour_accuracy"] == pytest.approx(2 / 6)
    assert -1 <= figures["silhouette"] <= 1
    assert neighbour_metrics(embeddings[:1], table[:1]) == {}


def test_where_an_accent_has_one_speaker_its_embeddings_are_not_judged():
    """The nearest clip of another speaker never shares the accent, and the silhouette is that of speakers."""
    embeddings = np.eye(6) + 0.1
    table = pd.DataFrame({"speaker": list("aabbcc"), "accent": list("xxyyzz")})
    assert neighbour_metrics(embeddings, table) == {}
    table["accent"] = list("xxxxzz")
    assert neighbour_metrics(embeddings, table).keys() == {"nearest_neighbour_accuracy", "silhouette"}


def test_every_plot_draws_on_the_axes_it_is_given():
    rng = np.random.default_rng(0)
    log_mels, points = rng.normal(size=(100, 80)), rng.normal(size=(8, 2))
    history = pd.DataFrame(
        {"epoch": [1, 2], "balanced_accuracy": [0.2, 0.5], "macro_f1": [0.1, 0.4], "loss": [9, 3]}
    )
    for draw in (
        lambda ax: plots.plot_log_mel(log_mels, ax=ax),
        lambda ax: plots.plot_attention(np.full(7, 1 / 7), seconds_a_step=0.16, ax=ax),
        lambda ax: plots.plot_history(history, chance=0.2, ax=ax),
        lambda ax: plots.plot_confusion(list("ab"), list("aa"), "ab", ax=ax),
        lambda ax: plots.plot_comparison(
            pd.DataFrame({"pooling": list("aabb"), "eer": [0.1, 0.2, 0.3, 0.2]}), ax=ax
        ),
        lambda ax: plots.plot_tsne(points, list("aabbccdd"), caption="n = 8", ax=ax),
    ):
        ax = plt.subplots()[1]
        assert draw(ax) is ax and ax.has_data()
        assert draw(None) is not ax


def test_attention_is_drawn_in_times_of_uniform():
    weights = np.array([[0.0, 0.5], [0.0, 0.25], [1.0, 0.0], [0.0, 0.25]])  # (steps, heads)
    ax = plots.plot_attention(weights, seconds_a_step=0.16)
    (image,) = ax.get_images()
    assert image.get_array().tolist() == [[0, 0, 4, 0], [2, 1, 0, 1]]
    assert image.get_extent() == [0, 0.64, 2.5, 0.5] and list(ax.get_yticks()) == [1, 2]
    one = plots.plot_attention(weights[:, 0], seconds_a_step=0.16)
    assert one.get_images()[0].get_array().shape == (1, 4) and not len(one.get_yticks())


def test_a_tone_lies_at_its_frequency_in_the_picture_of_its_log_mels():
    rate, hz = 16_000, 2000
    log_mels = accentlib.log_mel(np.sin(2 * np.pi * hz * np.arange(rate) / rate), rate, n_mels=40)
    ax = plots.plot_log_mel(log_mels, sample_rate=rate)
    marks = dict(zip([t.get_text() for t in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert abs(marks["2000"] - 0.5 - log_mels[50].argmax()) <= 0.5 and marks["8000"] == 40
    telephone = plots.plot_log_mel(log_mels, sample_rate=8000)
    assert [t.get_text() for t in telephone.get_yticklabels()][-1] == "4000"


def test_confusion_shows_shares_of_the_true_accent():
    ax = plots.plot_confusion(list("aaab"), list("aabb"), "ab")
    assert [t.get_text() for t in ax.texts] == ["67%", "33%", "0%", "100%"]


def test_tsne_says_its_settings_and_takes_few_points():
    embeddings = np.random.default_rng(0).normal(size=(7, 5))
    points, caption = plots.project_tsne(embeddings, seed=3)
    assert points.shape == (7, 2) and caption.endswith("n = 7, t-SNE, cosine, perplexity 2, seed 3")
    ax = plots.plot_tsne(points, list("aaabbbc"), caption=caption)
    assert ax.get_xlabel() == caption
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]


def test_colours_and_shapes_differ_for_each_name():
    names = [f"n{i}" for i in range(12)]
    assert len(set(plots.palette(names).values())) == 12


def test_nearly_parallel_embeddings_keep_their_order():
    rng = np.random.default_rng(0)
    vectors = (5 + 1e-3 * rng.normal(size=(60, 128))).astype(np.float32)  # as those of an untrained network
    unit = vectors.astype(np.longdouble)
    unit /= np.sqrt((unit**2).sum(axis=1, keepdims=True))
    exact = -((unit[:, None] - unit[None]) ** 2).sum(axis=2)  # cosine - 1, twice, without cancellation
    ours = accentlib.cosine_scores(vectors, vectors)
    for scores in (exact, ours):
        np.fill_diagonal(scores, -np.inf)
    assert (ours.argmax(axis=1) == exact.argmax(axis=1)).all()


def test_phones_are_written_over_a_spectrogram_where_they_are_spoken():
    ax = plots.plot_log_mel(np.random.default_rng(0).normal(size=(50, 80)))
    spans = pd.DataFrame({"start": [0.0, 0.2], "end": [0.2, 0.3], "phone": ["D", "a#"]})
    assert plots.label_phones(spans, ax) is ax
    assert [(t.get_text(), round(t.get_position()[0], 3)) for t in ax.texts] == [("ð", 0.1), ("ɐ", 0.25)]


def test_a_row_shows_when_a_phone_is_heard():
    heard = [1, 1, 0, 0, 2, 1]  # in each step; D comes first, then AA, and R last
    shares = 0.05 + 0.8 * np.eye(5)[heard]
    ax = plots.plot_phones(shares, ["AA", "D", "R", "SIL", "T"], 1.2, most=3)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["d", "ɑ", "ɹ"]
    (image,) = ax.get_images()
    np.testing.assert_allclose(image.get_array(), shares[:, [1, 0, 2]].T)
    assert image.get_extent()[:2] == [0, 1.2]


def test_the_most_and_the_least_attended_phones_are_shown_once():
    table = pd.DataFrame({"phone": list("abcdef"), "all": [2.0, 1.5, 1.1, 0.9, 0.8, 0.4]})
    ax = plots.plot_phone_attention(table, most=2)
    assert [t.get_text() for t in ax.get_xticklabels()] == list("abef")
    assert [bar.get_height() for bar in ax.patches] == [2.0, 1.5, 0.8, 0.4]
    assert len(plots.plot_phone_attention(table, most=5).patches) == 6
    table["phone"] = ["aI", "aI2", "r", "s", "t", "w"]  # the first two have the same name in IPA
    assert len(plots.plot_phone_attention(table, most=5).patches) == 6


def test_reasons_are_bars_with_the_strongest_on_top_and_those_against_in_grey():
    reasons = [0.5, 0.3, 0.1, 0.0, -0.2, -0.4]
    table = pd.DataFrame({"accent": "dutch", "ipa": list("abcdef"), "seconds": 0.31, "reason": reasons})
    ax = plots.plot_reasons(table, most=4)
    assert [bar.get_width() for bar in ax.patches] == [-0.4, -0.2, 0.3, 0.5]  # from below
    assert [t.get_text() for t in ax.get_yticklabels()] == ["f  0.3 s", "e  0.3 s", "b  0.3 s", "a  0.3 s"]
    colours = {bar.get_facecolor() for bar in ax.patches[:2]}, {bar.get_facecolor() for bar in ax.patches[2:]}
    assert all(len(of) == 1 for of in colours) and colours[0] != colours[1]
    assert "dutch" in ax.get_xlabel() and "nats" in ax.get_xlabel()
    assert plots.plot_reasons(table, ax=ax) is ax


def test_windows_are_stacked_over_time_and_hatched_where_unlike():
    table = pd.DataFrame(
        {"start": [0.0, 4.0, 9.0], "end": [4.0, 8.0, 13.0], "probability": [0.7, np.nan, 0.6]}
    )
    table[["p:low", "p:high"]] = [[0.7, 0.3], [0.5, 0.5], [0.4, 0.6]]
    ax = plots.plot_windows(table)
    (low, high, unlike) = ax.containers
    np.testing.assert_allclose([bar.get_height() for bar in low], table["p:low"])
    np.testing.assert_allclose([bar.get_y() for bar in high], table["p:low"])
    assert [(bar.get_x(), bar.get_width(), bar.get_hatch()) for bar in unlike] == [(4.0, 4.0, "///")]
    sure = plots.plot_windows(table.fillna(0.5))
    assert [text.get_text() for text in sure.get_legend().get_texts()] == ["low", "high"]
