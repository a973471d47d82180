"""The Translate tab: draw, photo or tiles in, the picture out.

`tab` lays it out.
"""
