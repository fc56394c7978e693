"""Audio to log-mels, computed once and kept in one file (notebook 01).
In: audio files, or waves in memory. Out: log-mels ``(frames, mels)``, a feature store, padded batches."""
