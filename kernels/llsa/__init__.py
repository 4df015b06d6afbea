"""Log-linear sparse attention (arXiv 2512.16615): hierarchies, and their own Triton kernels."""
