"""The hundred tasks of the pocket suite: IDEA-Bench's, in spirit, told with the subjects of the pocket world."""
