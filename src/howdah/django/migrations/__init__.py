"""The Django migrations."""
