"""Recorded calls in, reports out: what the bot does with them, what changed, where it was slow or rude."""
