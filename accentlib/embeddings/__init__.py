"""Inference with a trained model, and its evaluation (notebook 04). In: a model and clips.
Out: embeddings, calibrated probabilities, figures with intervals, attention by phone."""
