"""The demo's story of custody: from the first coin to books that agree."""

from decimal import Decimal

from heliograph.cli.custody import open_custody


async def test_the_story_ends_with_books_that_agree_to_the_last_digit() -> None:
    async with open_custody(seed=7) as custody:
        await custody.run(lambda: Decimal("61234.5"))
    summary = custody.summary
    assert (summary["differences"], summary["unexplained"], summary["findings"]) == (0, 0, 0)
    assert (summary["state"], summary["legs"], summary["trades"]) == ("confirmed", 4, 20)
    told = "\n".join(custody.told)
    for part in ("pledges 5", "posted", "credit inventory of 5", "net sold", "killed", "cut-off", "confirmed"):
        assert part in told
