"""The people of a load test, a module for each protocol."""
