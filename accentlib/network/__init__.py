"""From log-mels to an embedding and the cosine to each accent (notebook 02).
In: normalised log-mels ``(batch, frames, mels)``. Out: embeddings, logits, attention weights; checkpoints."""
