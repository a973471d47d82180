"""Networks and losses: generators, discriminators and what they are made of.

Pure PyTorch; knows no files.
"""
