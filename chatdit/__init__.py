"""ChatDiT: conversation in, finished image sets out."""
