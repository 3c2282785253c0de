"""Optimisers and learning-rate policies."""
