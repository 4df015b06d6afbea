"""Triton kernels that policies search with: shares of key blocks, and clusters of tokens."""
