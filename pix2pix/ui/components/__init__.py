"""Parts of the page that several tabs use.

Each is a function that lays out its components.
"""
