"""Networks and losses: generators, discriminators and what they are made of.

PyTorch; the one file it reads is the frozen network's, from the package it comes with.
"""
