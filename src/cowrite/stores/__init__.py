"""Stores: where documents live. One module (or package) for each kind of database."""
