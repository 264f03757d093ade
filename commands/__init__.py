"""The commands of `manage.py` that have a room of their own."""
