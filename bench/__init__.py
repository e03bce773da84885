"""Measures. Each prints one table of ratios: what a machine does in a second is its own business."""
