"""Agents to start from. Each is named by a dial plan in this folder and can be phoned."""
