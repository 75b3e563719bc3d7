"""The people of a load test: a module for each protocol, what they have in common, and who makes them."""
