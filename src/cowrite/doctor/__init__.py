"""What ``cowrite doctor`` looks at: settings, the database, Redis, the clock, what the machine allows.

Nothing is changed by it, and it needs no running server. It knows the adapters, as the application does, and nothing of HTTP.
"""
