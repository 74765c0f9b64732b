"""The bridge to LiveKit's plugins: their STT, TTS, LLM and VAD classes as providers, outside any room.

`provider: livekit/deepgram` in a plan; see docs/providers/livekit.md. Nothing here is imported, nor is LiveKit,
until a name that begins with `livekit/` is asked for: that costs about a second and 80 MB."""
