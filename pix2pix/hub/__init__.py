"""The Hugging Face Hub: datasets, models, Spaces and Jobs.

Imports `training` and below, and no gradio.
"""
