"""What the fault that takes a right away leaves to others of its kind."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from chaos.faults.grants import RevokedGrant


class AsFarAsThis(Exception):
    pass


async def test_no_two_of_them_take_rights_from_one_role():
    roles: list[str] = []

    async def login(role: str) -> str:
        roles.append(role)
        raise AsFarAsThis

    fault, world = RevokedGrant(), SimpleNamespace(server=SimpleNamespace(login=login))
    for _ in range(2):
        with pytest.raises(AsFarAsThis):
            await fault.harm(world, 0.5, Counter())

    assert len({*roles}) == 2
