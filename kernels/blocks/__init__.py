"""Any plan on Triton kernels, forward and backward."""
