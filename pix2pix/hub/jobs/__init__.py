"""Training on Hugging Face Jobs: launch there, work there, follow from here.

Works without torch.
"""
