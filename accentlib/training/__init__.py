"""The training loop, its data and its state (notebook 03).
In: a feature store and a corpus table. Out: ``best.pt`` and ``last.pt``, and a history of validations."""
