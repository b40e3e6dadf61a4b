from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus import resp
from tests.bus.requests import parsed


@given(st.lists(st.binary(max_size=300) | st.integers() | st.text(st.characters(codec="utf-8")), min_size=1))
def test_a_command_reads_back_as_its_arguments(arguments: list[bytes | int | str]) -> None:
    expected = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
    assert parsed(resp.command(*arguments)) == [expected]


@given(st.lists(st.binary(max_size=50), min_size=1), st.lists(st.binary(max_size=50)))
def test_a_prefix_and_its_rest_are_one_command(first: list[bytes], rest: list[bytes]) -> None:
    payload = resp.prefix(len(first) + len(rest), *first) + b"".join(map(resp.bulk, rest))
    assert payload == resp.command(*first, *rest)
