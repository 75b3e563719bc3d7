"""Tells another server what happens to documents: signed, again until it was received, and each document's in order."""
