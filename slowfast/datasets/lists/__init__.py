"""Parsers of list files: `path label` rows, class names, and lists of extracted frames."""
