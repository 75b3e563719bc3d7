"""Notes that several people write at once: Django knows who they are and what they may do, cowrite keeps what they write."""
