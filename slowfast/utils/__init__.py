"""Helpers shared by data sets, models and engine."""
