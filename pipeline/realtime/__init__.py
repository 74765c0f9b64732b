"""A model that hears, thinks and speaks (speech to speech), as the recogniser, model and voice of a call at once."""
