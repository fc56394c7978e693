"""Recordings to a corpus: a table of clips with speaker-disjoint splits, and phone times (notebook 06).
In: folders, tables or known corpora. Out: ``manifest.csv`` with its report, ``phones.csv``."""
