"""Sound that is rebuilt from log-mels."""

import numpy as np
from helpers import RATE, tone

from accentlib import log_mel, resynthesise


def test_the_log_mels_of_what_is_rebuilt_are_about_the_same():
    log_mels = log_mel(tone(220, 1.0), RATE, n_mels=40)
    again = resynthesise(log_mels, RATE)
    assert np.abs(again).max() < 2
    rebuilt = log_mel(again, RATE, n_mels=40)
    assert abs(len(rebuilt) - len(log_mels)) <= 1
    inner = slice(5, len(rebuilt) - 5)
    unlike = log_mel(tone(330, 1.0), RATE, n_mels=40)
    apart, other = (np.abs(x[inner] - log_mels[inner]).mean() for x in (rebuilt, unlike))
    assert apart < 0.35 and apart < 0.6 * other
