"""Seconds of audio a second, from WAV files to features on disk: ours, the published way, librosa at its best.

Neither of the other two knows of a second core.
"""

import shutil

import librosa
import numpy as np
import pytest
import soundfile as sf
from published import extract

from accentlib.config import Config
from accentlib.features.store import open_store

SOME = 400  # clips of which the slow ways show what they take


def with_accentlib(clips, folder):
    open_store(clips, folder / "store", Config(sample_rate=16_000))


def as_published(clips, folder):
    for i, path in enumerate(clips["path"]):
        extract(path, folder / f"{i}.pickle")


def with_librosa(clips, folder):
    for i, path in enumerate(clips["path"]):
        wave, rate = sf.read(path, dtype="float32")
        mel = librosa.feature.melspectrogram(
            y=wave, sr=rate, n_fft=512, hop_length=160, win_length=400, window="hamming", center=False, power=1.0,
            n_mels=80, norm=None,
        )  # fmt: skip
        np.save(folder / f"{i}.npy", np.log(np.maximum(1, 32768 * mel)).astype(np.float32))


WAYS = {"published": as_published, "accentlib": with_accentlib, "librosa": with_librosa}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cores", [1, 2], indirect=True)
@pytest.mark.parametrize("again", range(3))
def test_features(benchmark, clips, tmp_path, way, cores, again):
    some = clips if way == "accentlib" else clips.head(SOME)

    def setup():
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()

    name = f"features_{['one_core', 'two_cores'][cores - 1]}"
    benchmark.extra_info |= {"unit": len(some) * 3.2, "name": name, "way": way}
    benchmark.pedantic(WAYS[way], args=(some, tmp_path), setup=setup, rounds=1)
