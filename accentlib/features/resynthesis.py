"""Sound from log-mels, to hear what they keep."""

import numpy as np

from .log_mel import FULL_SCALE


def resynthesise(log_mels: np.ndarray, sample_rate: int, n_fft: int = 512, *, window_seconds: float = 0.025,
                 hop_seconds: float = 0.010, preemphasis: float = 0.97) -> np.ndarray:  # fmt: skip
    """A wave ``(samples,)`` whose :func:`accentlib.log_mel` is about ``log_mels`` ``(frames, mels)``, not
    normalised. Mel bands are spread over their frequencies (non-negative least squares), and phases, which
    log-mels do not keep, are found by Griffin and Lim's algorithm (IEEE Trans. ASSP 32(2), 1984)."""
    import librosa  # slow to import

    mel = np.exp(log_mels.T) / FULL_SCALE
    magnitude = librosa.feature.inverse.mel_to_stft(mel, sr=sample_rate, n_fft=n_fft, power=1.0, norm=None)
    window, hop = round(window_seconds * sample_rate), round(hop_seconds * sample_rate)
    steps: dict = {
        "n_fft": n_fft,
        "win_length": window,
        "hop_length": hop,
        "window": "hamming",
        "center": False,
    }
    wave = librosa.griffinlim(magnitude, n_iter=32, random_state=0, **steps)
    return librosa.effects.deemphasis(wave, coef=preemphasis)
