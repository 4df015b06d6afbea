"""Trainers of the pocket world: stages that leave files, and go on from them."""
