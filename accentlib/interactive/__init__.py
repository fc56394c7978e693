"""Interactive parts of notebook 07. In: a model and clips, or a microphone. Out: an HTML file; a wave."""
