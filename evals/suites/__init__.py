"""Suites of cases: IDEA-Bench folders as they are on disk, and the pocket suite that is written in that format."""
