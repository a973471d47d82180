"""Datasets: from folders to pairs, from pairs to tensors.

All but `loader` works without torch.
"""
