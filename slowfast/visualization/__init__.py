"""Figures from logs, schedules and predictions."""
