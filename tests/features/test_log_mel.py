"""Log-mels against the reference numbers and a plain loop; normalisation; the audio loader."""

import re

import librosa
import numpy as np
import pytest
import soundfile as sf
from helpers import BUNDLED, RATE, ROOT, tone

from accentlib.config import InputError
from accentlib.features.audio import load_audio
from accentlib.features.log_mel import log_mel, mel_edges, mel_filters, normalise, speech


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("n_fft", [512, 2048])
def test_log_mel_agrees_with_the_reference(rate, n_fft):
    reference = np.load(ROOT / "tests" / "golden" / f"logmel_{rate}_{n_fft}.npz")
    result = log_mel(reference["wave"], rate, n_fft)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, reference["logmel"].T, atol=1e-5)


@pytest.mark.parametrize("n_fft", [400, 512])
def test_log_mel_is_what_a_plain_loop_gives(n_fft):
    wave, hop, win = tone(440, 0.2), 160, 400
    wave[0] = 0.9  # the first sample has a rule of its own
    x = wave.tolist()
    emphasised = [32768 * 0.03 * x[0]]
    emphasised += [32768 * (x[n] - 0.97 * x[n - 1]) for n in range(1, len(x))]
    window = [0.54 - 0.46 * np.cos(2 * np.pi * n / win) for n in range(win)]
    filters = librosa.filters.mel(sr=RATE, n_fft=n_fft, n_mels=80, norm=None)
    result = log_mel(wave, RATE, n_fft)
    start = (n_fft - win) // 2  # the window stands in the middle of the n_fft points
    assert result.shape == (1 + (len(wave) - n_fft) // hop, 80)
    for t in range(len(result)):
        frame = np.array(emphasised[t * hop + start : t * hop + start + win]) * window
        magnitude = np.abs(np.fft.rfft(frame, n_fft))
        np.testing.assert_allclose(result[t], np.log(np.maximum(1, filters @ magnitude)), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize("n_fft", [256, 512, 2048])
@pytest.mark.parametrize("rate", [1500, 4000, 8000, 11_025, 16_000, 44_100, 48_000])
def test_mel_filters_are_those_of_librosa(rate, n_fft):
    for n_mels in (20, 40, 80, 128):
        filters = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, norm=None).T
        np.testing.assert_allclose(mel_filters(rate, n_fft, n_mels), filters, atol=1e-6)
        edges = librosa.mel_frequencies(n_mels + 2, fmin=0, fmax=rate / 2)
        np.testing.assert_allclose(mel_edges(rate, n_mels), edges, rtol=1e-12)


@pytest.mark.parametrize("decibels", [20, 30, 60])
@pytest.mark.parametrize("rate", [8000, 11_025, 16_000])
def test_speech_is_what_librosa_does_not_call_silent_and_a_tenth_of_a_second_around(bundled, rate, decibels):
    frame, hop, around = (round(seconds * rate) for seconds in (0.04, 0.01, 0.1))
    for path in bundled["path"][::200]:
        quiet = np.zeros(rate // 2, np.float32)
        wave = np.concatenate([quiet, load_audio(path, rate), quiet, load_audio(path, rate)])
        mask = np.zeros(len(wave), bool)
        for start, stop in librosa.effects.split(wave, top_db=decibels, frame_length=frame, hop_length=hop):
            mask[max(0, start - around) : stop + around] = True
        np.testing.assert_array_equal(speech(wave, rate, decibels), mask)
        assert 0.2 < mask.mean() < 0.95


def test_too_short_a_wave_is_refused():
    with pytest.raises(InputError, match="too short: 0.010 s"):
        log_mel(tone(440, 0.01), RATE)


def test_normalise():
    x = np.random.default_rng(0).normal(5, 3, (50, 4)).astype(np.float32)
    x[:, 2] = 7  # a band that never changes must not be divided by its deviation
    cmn, cmvn = normalise(x, "cmn"), normalise(x, "cmvn")
    np.testing.assert_allclose(cmn.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(cmn[:, 0].std(), x[:, 0].std(), rtol=1e-5)
    np.testing.assert_allclose(cmvn.std(axis=0), [1, 1, 0, 1], atol=1e-5)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "PCM_24", "FLOAT"])
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (48000, 2), (8000, 1)])
def test_any_format_becomes_mono_at_the_wanted_rate(tmp_path, subtype, rate, channels):
    wave = tone(440, 0.5, rate)
    sf.write(tmp_path / "a.wav", np.stack([wave] * channels, axis=1), rate, subtype=subtype)
    loaded = load_audio(tmp_path / "a.wav", RATE)
    assert loaded.dtype == np.float32 and loaded.shape == (RATE // 2,)
    wanted = librosa.resample(wave, orig_sr=rate, target_sr=RATE, res_type="soxr_hq")
    assert np.abs(loaded - wanted).max() < 0.02  # 8 bits round at 0.008


def test_stereo_is_averaged(tmp_path):
    wave = tone(440)
    sf.write(tmp_path / "a.wav", np.stack([wave, np.zeros_like(wave)], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav", RATE), wave / 2, atol=1e-6)


def write_bad_files(folder) -> dict[str, str]:
    """One file of each kind of bad input; what its message must say."""
    wave = tone(440)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is not audio\n" * 50)
    sf.write(folder / "silent.wav", np.zeros(RATE), RATE)
    sf.write(folder / "short.wav", wave[: RATE // 100], RATE)
    sf.write(folder / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    sf.write(folder / "no_samples.wav", np.zeros(0), RATE)
    for suffix, keep in (("wav", 0.5), ("flac", 0.5), ("opus", 0.7)):
        whole = folder / f"whole.{suffix}"
        if suffix == "opus":
            whole.write_bytes((BUNDLED / "clips/hindi/spk00_s00.ogg").read_bytes())
        else:
            sf.write(whole, wave, RATE)
        content = whole.read_bytes()
        (folder / f"cut.{suffix}").write_bytes(content[: round(keep * len(content))])
    return {
        "missing.wav": "no such file",
        "empty.wav": "empty file",
        "text.wav": "not readable as audio",
        "silent.wav": "silent",
        "short.wav": "too short: 0.010 s",
        "nan.wav": "not numbers",
        "no_samples.wav": "no samples",
        "cut.wav": "truncated",
        "cut.flac": "damaged",
        "cut.opus": "truncated",
    }


def test_bad_files_are_named_with_what_is_wrong(tmp_path, tiny):
    from accentlib.features.log_mel import file_log_mel

    for name, message in write_bad_files(tmp_path).items():
        with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / name))}: .*{message}") as error:
            file_log_mel(tmp_path / name, tiny)
        assert "\n" not in str(error.value)
    for suffix in ("wav", "flac", "opus"):
        assert len(file_log_mel(tmp_path / f"whole.{suffix}", tiny)) > 10
