"""Draw the strip on top of each notebook, and that of the README: python notebooks/images/strips.py"""

from pathlib import Path

import matplotlib.pyplot as plt

from accentlib.diagrams import STRIP, plot_strip

LIT = {"00": tuple(STRIP), "01": ("recording", "log-mel"), "02": ("VGG", "pooling"), "03": tuple(STRIP)[2:],
       "04": ("embedding",), "05": ("pooling",), "06": ("recording",), "07": tuple(STRIP)}  # fmt: skip

if __name__ == "__main__":
    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "accentlib", "font.family": "sans-serif"}
    for notebook, stages in LIT.items():
        file = Path(__file__).with_name(f"strip_{notebook}.svg")
        plot_strip(stages).figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
