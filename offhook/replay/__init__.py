"""Recorded calls in, reports out: the unchanged pipeline over calls that were recorded before."""
