"""Measure models: metrics, and their figures on a dataset.

Imports `models` and below.
"""
