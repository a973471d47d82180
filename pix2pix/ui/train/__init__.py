"""The Train tab: set a run up, watch it, evaluate models.

`tab` lays it out.
"""
