"""The Dataset tab: folders, check, build.

`tab` lays it out.
"""
