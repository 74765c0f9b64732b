"""Dial plans as files that change: trying them, keeping every version, handing them to the switch."""
