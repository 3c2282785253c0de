"""A training plan as a table and a figure, and curves for TensorBoard."""
