"""Programs that give Capataz work, and know nothing of it but what they send."""
