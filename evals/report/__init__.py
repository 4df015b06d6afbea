"""Reports of runs: one HTML file, and comparisons of two systems."""
