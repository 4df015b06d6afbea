"""Judges answer a case's six questions: the pocket reader, a vision-language model, or a person."""
