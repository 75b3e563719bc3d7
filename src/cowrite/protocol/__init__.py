"""Bytes ⇄ messages, and the table of close codes. Pure: no I/O, no event loop, no logging, no other layer of cowrite."""
