"""The model host: one process that runs local models for all call workers, so that none of them misses a tick."""
