"""URL jobs: what may be called, what is sent, what came back. The worker makes the calls."""
