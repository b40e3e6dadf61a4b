import msgspec
import pytest

from heliograph.venues.fields import NOTHING, Id, Ms, Seconds


class Raw(msgspec.Struct):
    at_s: Seconds = 0
    at: Ms = 0
    id: Id = 0
    rest: msgspec.Raw = NOTHING


@pytest.mark.parametrize("text", ['{"at_s":1786540440000}', '{"at":1786540440000000}', '{"at":-1}', '{"id":1.5}'])
def test_t32_a_time_in_another_unit_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Raw)


def test_t33_numbers_beyond_2_to_the_53_stay_whole() -> None:
    assert msgspec.json.decode('{"id":8578128440611119318}', type=Raw).id == 8_578_128_440_611_119_318


def test_what_is_absent_is_false_and_what_is_null_is_not() -> None:
    assert not msgspec.json.decode("{}", type=Raw).rest
    assert msgspec.json.decode('{"rest":null}', type=Raw).rest
