"""Attention kernels: one adapter, and the plain reference that defines what is right.

Nothing is imported here: with the repository root as the working directory, `import kernels` by
another library finds this file first.
"""
