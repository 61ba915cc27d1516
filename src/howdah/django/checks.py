"""Django's system checks: whether HOWDAH and DATABASES say what they must."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error

from howdah.django import conf
from howdah.errors import HowdahError
from howdah.settings import load


def settings_are_right(**_: Any) -> list[CheckMessage]:
    """What is wrong with HOWDAH, or the database that it names."""
    try:
        load(conf.arguments())
    except HowdahError as error:
        return [Error(error.message, hint=error.hint, id="howdah.E001")]
    return []
