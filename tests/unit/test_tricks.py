"""What the measurement of tricks switches off is there to be switched off."""

from __future__ import annotations

import pytest
from benchmarks.tricks import TRICKS


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.name)
def test_a_trick_can_be_switched_off(trick):
    with trick.without():
        pass
