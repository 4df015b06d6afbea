"""ChatDiT."""
