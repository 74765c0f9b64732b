"""From the model's words to sound, and back to what was heard of it."""
