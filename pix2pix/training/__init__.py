"""Training: the step, the loop, the run folder and its processes.

Run folders are read and written without torch.
"""
