"""The commands of `offhook`, one module each. `offhook/cli.py` lists them and imports the one asked for.

A module here has `app: typer.Typer`, with one command or several.
"""
