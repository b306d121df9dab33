from __future__ import annotations

import pytest

from drydock.aws.ec2 import MOST_NAME, name_of
from drydock.texts import cut_bytes


@pytest.mark.parametrize("text", ["a", "é", "東", "🚢", "a東é🚢"])
@pytest.mark.parametrize("most", range(3, 20))
def test_a_text_is_cut_by_bytes_and_never_inside_a_character(text: str, most: int) -> None:
    long = text * 20

    short = cut_bytes(long, most)

    assert len(short.encode()) <= most
    assert short.endswith("…")
    assert long.startswith(short[:-1])


def test_a_text_that_fits_is_left_as_it_is() -> None:
    assert cut_bytes("東京", 6) == "東京"


def test_what_is_no_text_at_all_is_cut_too() -> None:
    # Half of a surrogate pair, as JSON may have it.
    assert len(cut_bytes("\ud800" * 20, 10).encode()) <= 10


def test_as_much_of_a_name_is_kept_as_fits() -> None:
    named = {"Tags": [{"Key": "Name", "Value": "基" * 256}]}

    assert len(name_of(named).encode()) <= MOST_NAME
    assert name_of(named).startswith("基" * 39)
