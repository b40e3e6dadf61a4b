from heliograph.venues.universe import COINS_MAX, coin_of


def test_every_coin_of_the_universe_has_its_own_name() -> None:
    names = [coin_of(rank)[0].name for rank in range(COINS_MAX)]
    assert len(set(names)) == COINS_MAX
    assert all(name.isascii() and name.isalnum() and name.isupper() for name in names)
