"""`manage.py howdah`."""
