"""Coins that a custodian's own word brings into the books.

A program of the seeds names the chain and the address of the coins in the request for credit itself, and nowhere else.
So the custodian's word that they lie there is booked as their arrival: as much as the vault lacks, once for a request.
"""

from heliograph.bus import link_keys
from heliograph.model.settlement import CreditOrder, name, positive
from heliograph.settlement.batch import Batch
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.desk import Needs
from heliograph.settlement.ledger import EXACT, UNIT, Transfer
from heliograph.settlement.passage import Passage, entering
from heliograph.settlement.records import Cause


async def declared(custodian: Custodian, request_id: str, order: CreditOrder) -> None:
    """Book the arrival of what an order for more credit is about and the vault does not have.

    A request that is there already brings nothing, nor does one that brought something before.

    Raises:
        BadValue: `bad_amount`.
        SettlementError: `too_large`.

    """
    reference = f"declared/{request_id}"[:128]
    key = link_keys.passage(custodian.link, reference)
    amount = positive(order.amount)

    def step(batch: Batch) -> None:
        available = batch.position(order.user, order.asset).available
        if available >= amount or batch.record_at(Passage, key) is not None or batch.request(request_id) is not None:
            return
        arrived = Passage(
            reference=reference,
            kind="deposit",
            user=order.user,
            asset=order.asset,
            amount=EXACT.subtract(amount, available),
            chain=order.chain,
            address=order.address,
            state="done",
        )
        batch.post(Cause("deposit", reference), [entering(arrived)], {key: arrived})

    needs = Needs(
        requests=(request_id,),
        positions=((order.user, order.asset),),
        assets=(order.asset,),
        records={key: Passage},
    )
    await custodian.do(step, needs)


async def acquainted(custodian: Custodian, user: str, asset: str) -> None:
    """Open an account, empty as it is, so that reports may name its user.

    A custodian settles nothing for users whom it does not know, and the exchange's own account may well have nothing.

    Raises:
        BadValue: `bad_name`.

    """
    name(user, "user")

    def step(batch: Batch) -> None:
        if not batch.held(link_keys.position(custodian.link, user, asset)).version:
            there = Transfer(asset, UNIT, "outside", "", "available", user)
            back = Transfer(asset, UNIT, "available", user, "outside", "")
            batch.post(Cause("account", f"{user}/{asset}"[:128]), [there, back])

    await custodian.do(step, Needs(positions=((user, asset),), assets=(asset,)))
