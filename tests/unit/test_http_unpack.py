"""Bodies unpacked bit by bit: whole, whatever the bits, and never more than was asked for."""

from __future__ import annotations

import gzip
import zlib

import pytest

from howdah.http import unpack
from howdah.http.unpack import Body, BodyTooLarge, Broken

TEXT = bytes(range(256)) * 30 + bytes(10_000)


def raw(data):
    pack = zlib.compressobj(wbits=-15)
    return pack.compress(data) + pack.flush()


PACKED = {
    "gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "x-gzip": b"",
    "raw": raw(TEXT),
}
PACKED["x-gzip"] = gzip.compress(TEXT[:1000]) + gzip.compress(b"") + gzip.compress(TEXT[1000:])


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("part", [1, 2, 100_000])
@pytest.mark.parametrize("slice_", [1, len(TEXT), 262_144])
def test_a_body_is_whole_however_it_arrives(monkeypatch, kind, part, slice_):
    monkeypatch.setattr(unpack, "SLICE", slice_)
    body, packed = Body(len(TEXT), "deflate" if kind == "raw" else kind), PACKED[kind]

    for at in range(0, len(packed), part):
        body.feed(packed[at : at + part])

    assert body.done() == TEXT


@pytest.mark.parametrize("kind", PACKED)
def test_one_byte_more_than_was_asked_for_is_too_much(kind):
    body = Body(len(TEXT) - 1, "deflate" if kind == "raw" else kind)

    with pytest.raises(BodyTooLarge):
        body.feed(PACKED[kind])


@pytest.mark.parametrize("kind", PACKED)
def test_what_was_cut_off_is_broken(kind):
    body = Body(len(TEXT), "deflate" if kind == "raw" else kind)

    body.feed(PACKED[kind][:-9])

    with pytest.raises(Broken):
        body.done()


def test_zeros_after_a_body_are_nothing():
    body = Body(len(TEXT), "gzip")

    body.feed(PACKED["gzip"] + bytes(512))

    assert body.done() == TEXT


def test_what_was_taken_in_is_given_out_to_the_last_byte(monkeypatch):
    monkeypatch.setattr(unpack, "SLICE", 1)

    for size in range(1, 400):
        body = Body(size, "deflate")
        body.feed(raw(bytes(size)))
        assert body.done() == bytes(size)
