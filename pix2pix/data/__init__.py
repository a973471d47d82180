"""Datasets: from folders to pairs, from pairs to tensors.

All but `loader` and `augment` works without torch.
"""
