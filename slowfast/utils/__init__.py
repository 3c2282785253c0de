"""Helpers that data sets, models and the engine share."""
