"""What came of a run: what it is, how it is made of what the processes tell, and how it is shown."""
