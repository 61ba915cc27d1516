"""The app with Django set up: what worker processes load, as "howdah.django.program:app".

With DJANGO_SETTINGS_MODULE set, HOWDAH_APP=howdah.django.program:app has the plain `howdah`
command do what `manage.py howdah` does.
"""

from __future__ import annotations

import logging

import django
from django.apps import apps

if not apps.ready and not apps.loading:
    django.setup()
    for name in ("howdah", "howdah.worker"):  # LOGGING may have silenced what was there before it
        logging.getLogger(name).disabled = False

from howdah.django.project import app

__all__ = ["app"]
