"""Measurements of a config's data path, model, training steps and test, for `slowfast benchmark`."""
