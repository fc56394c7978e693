"""Whole experiments: one run, a comparison of poolings, cross-validation (notebook 05).
In: a corpus on disk and a configuration. Out: figures beside chance and baselines, in a folder."""
