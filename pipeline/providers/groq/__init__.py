"""Groq: fast open models (llm.py) and Whisper (stt.py), through the official SDK."""
