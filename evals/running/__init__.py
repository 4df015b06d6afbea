"""Suites run over a system: workers, a run's folder on disk, and what resumes."""
