"""What a trained model says of clips, and how good that is (notebook 04).

In: a model and clips. Out: embeddings, calibrated probabilities, figures with intervals, attention by phone.
"""
