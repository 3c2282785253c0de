"""Configuration: the key tree, loading and checks."""
