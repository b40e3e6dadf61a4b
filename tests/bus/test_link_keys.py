"""The names of settlement's keys."""

from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus import link_keys

_NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)


@given(_NAMES, _NAMES, _NAMES, _NAMES)
def test_no_two_pairs_of_user_and_asset_share_a_key(user: str, asset: str, other_user: str, other_asset: str) -> None:
    """The published SDK gave `a:b` + `c` and `a` + `b:c` one credit inventory."""
    same = (user, asset) == (other_user, other_asset)
    assert (link_keys.credit(user, asset) == link_keys.credit(other_user, other_asset)) == same


@given(_NAMES)
def test_a_part_of_a_key_can_be_read_back(text: str) -> None:
    assert link_keys.unpart(link_keys.part(text)) == text
    assert ":" not in link_keys.part(text)


def test_plain_names_are_spelled_as_the_seeds_spell_them() -> None:
    assert link_keys.credit("user123", "BTC") == "CI:user123:BTC"


def test_the_ring_has_eight_keys_of_one_exchange() -> None:
    ring = link_keys.ring("acme")
    assert len(set(ring)) == link_keys.RING == 8
    assert ring[0] == "exchange:stream:acme:answer:0"
