"""Files, names, the workspace: helpers without torch.

Imports nothing of pix2pix but `errors`.
"""
