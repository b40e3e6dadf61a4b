"""Numbers that look random and are functions of their arguments, so that any instant can be asked for on its own."""

from typing import Final

_MASK: Final = (1 << 64) - 1


def mix(key: int, index: int) -> int:
    """Return 64 bits that depend on both arguments in no pattern that anybody would notice."""
    z = (key ^ (index * 0x9E3779B97F4A7C15)) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def name_key(name: str) -> int:
    """Return 64 bits that stand for a name, the same in every process."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) & _MASK
    return mix(key, len(name))


class Wander:
    """A path that wanders like a price: noise on many scales, each twice as long and √2 times as wide as the last.

    Args:
        key: which path.
        width: how far it moves in one step, roughly.

    """

    SCALES: Final = 16
    """It never gets further from zero than 616 widths, which is what the scales add up to."""

    def __init__(self, key: int, width: float) -> None:
        self._keys = [mix(key, scale) for scale in range(self.SCALES)]
        self._widths = [width * 2 ** (scale / 2) / 2**63 for scale in range(self.SCALES)]

    def at(self, step: int) -> float:
        """Return where the path is at a step; negative steps are as good as others."""
        total = 0.0
        for scale, (key, width) in enumerate(zip(self._keys, self._widths, strict=True)):
            index = step >> scale
            left, right = mix(key, index) - 2**63, mix(key, index + 1) - 2**63
            share = (step - (index << scale)) / (1 << scale)
            total += width * (left + (right - left) * share)
        return total
