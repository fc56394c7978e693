"""Lists, feature pickles, checkpoints and tests of the published trainer, as our tables and models."""
