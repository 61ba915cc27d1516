"""The Django app: finds the tasks, and keeps the schema up to date."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules

from howdah.django import conf
from howdah.settings import give


class HowdahConfig(AppConfig):
    """`howdah.django` in INSTALLED_APPS; its label is `howdah`."""

    name = "howdah.django"
    label = "howdah"
    verbose_name = "Howdah"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import tasks.py of every installed app; upgrade the schema with each `migrate`."""
        from howdah.django import checks, schema

        register(checks.settings_are_right)
        give(schema=conf.schema())
        post_migrate.connect(schema.after_migrate, sender=self)
        autodiscover_modules("tasks")
