"""What bench.compare and bench.plan are made of: servers, loads, scenarios with their targets, and tables."""
