"""A conversation, from PCM to PCM. Read in this order:

ports      what a conversation needs from outside, on one screen
session    the only loop: hears, decides, speaks
turn       who has the floor, a pure table
listening  voice activity and recogniser, joined to what the caller said
replying   one reply, from the model's first token to the last packet
agent/     agents, tools, history
speaking/  tokens to sentences, sentences to speakable text, what was heard of them
hearing/   voice activity, slots such as digits
providers/ the registry and one file per vendor and kind
testing/   for tests of agents: dialogues in words, a caller on a virtual clock

Knows nothing of SIP or RTP, and nothing of the product that runs it.
"""
