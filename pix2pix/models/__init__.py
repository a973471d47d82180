"""A model on disk and in use: its folder, its card, conversion, translation.

Imports `nn`, `data` and `imaging`.
"""
