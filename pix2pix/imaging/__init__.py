"""Pictures: files to arrays and back, line art, grids, A|B pairs.

NumPy and Pillow alone.
"""
