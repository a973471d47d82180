"""Pictures: files to arrays and back, line art, strokes, grids, A|B pairs.

NumPy, Pillow, SciPy and scikit-image, no torch; GeoTIFFs and clips need rasterio and FFmpeg.
"""
