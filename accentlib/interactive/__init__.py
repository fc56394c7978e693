"""What readers touch: a map that plays its clips, a recorder, exercises (notebook 07).

In: a model and clips, or a microphone. Out: one HTML file; a wave.
"""
