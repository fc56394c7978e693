"""For users of the published trainer: lists, feature pickles, checkpoints, its tests.

In: files of the published trainer. Out: the same tables, features and models as elsewhere here.
"""
