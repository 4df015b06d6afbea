"""In-Context LoRAs: what is known of them, where they lie, and how new ones are trained."""
