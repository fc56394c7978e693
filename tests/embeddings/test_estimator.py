"""Embeddings in scikit-learn, and in a program of several threads."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import ROOT
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import accentlib


@pytest.fixture(scope="module")
def clips():
    table = accentlib.read_corpus(ROOT / "data/accents_mini", split=False)
    return table[
        table["speaker"].isin(["spk06", "spk07", "spk14"]) & table["accent"].isin(["french", "hindi"])
    ]


def test_it_embeds_as_the_package_does_and_clones_and_pickles(clips):
    paths = clips["path"].tolist()[:4]
    embedder = accentlib.AccentEmbedder("accents_mini").fit(paths)
    vectors = embedder.transform(paths)
    np.testing.assert_array_equal(vectors, accentlib.embed(accentlib.load_model("accents_mini"), paths))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedder)).transform(paths), vectors)
    assert embedder.get_feature_names_out().shape == vectors.shape[1:]
    copy = clone(embedder)
    assert copy.get_params() == {"checkpoint": "accents_mini"}
    with pytest.raises(NotFittedError):
        copy.transform(paths)
    with pytest.raises(accentlib.InputError, match="no such checkpoint"):
        copy.set_params(checkpoint="elsewhere.pt").fit(paths)


def test_it_passes_the_checks_of_scikit_learn_that_need_no_table_of_numbers():
    from sklearn.utils import estimator_checks as checks

    for check in (
        checks.check_parameters_default_constructible,
        checks.check_get_params_invariance,
        checks.check_set_params,
        checks.check_no_attributes_set_in_init,
        checks.check_estimator_repr,
        checks.check_estimator_cloneable,
    ):
        estimator = accentlib.AccentEmbedder("accents_mini")
        check(*(["AccentEmbedder", estimator][-check.__code__.co_argcount :]))


def test_it_is_a_step_of_a_pipeline_that_is_validated_by_speaker(clips):
    steps = make_pipeline(accentlib.AccentEmbedder("accents_mini"), StandardScaler(), LogisticRegression())
    x, y, groups = (clips[name].to_numpy() for name in ("path", "accent", "speaker"))
    scores = cross_val_score(steps, x, y, groups=groups, cv=GroupKFold(3))
    assert scores.mean() > 0.9


def test_several_threads_may_predict_with_one_model(clips):
    model, paths = accentlib.load_model("accents_mini"), clips["path"].tolist()[:6]
    expected = accentlib.infer(model, paths).embeddings
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: accentlib.infer(model, paths).embeddings, range(8)):
            np.testing.assert_array_equal(got, expected)
    assert not model.training
