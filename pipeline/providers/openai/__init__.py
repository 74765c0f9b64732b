"""OpenAI and the servers that speak its API: vendors.py says who they are; llm.py, stt.py and tts.py what they do."""
