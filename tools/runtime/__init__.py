"""Accelerators around a diffusion transformer: a sparse policy attached to any diffusers model, and when it pays."""
