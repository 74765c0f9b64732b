"""From the caller's sound to what was said: voice activity, spoken slots, backchannels."""
