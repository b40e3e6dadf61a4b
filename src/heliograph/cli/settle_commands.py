"""`heliograph settle`: its commands and their options; what they do is in the files that they import when they run."""

from pathlib import Path
from typing import Annotated

import typer

settle_app = typer.Typer(
    help="Custody, credit and settlement between a custodian and an exchange.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

User = Annotated[str, typer.Argument(help="Whose.")]
Asset = Annotated[str, typer.Argument(help="Such as BTC.")]
Amount = Annotated[str, typer.Argument(help="Plain digits, such as 0.25.")]
Reference = Annotated[str, typer.Option("--reference", help="Of the movement outside; the same again changes nothing.")]
Chain = Annotated[str, typer.Option("--chain", help="Where the coins lie or go, such as Bitcoin.")]
Address = Annotated[str, typer.Option("--address", help="Their address there.")]
Id = Annotated[str, typer.Option("--id", help="The request's name, for ever; default: a new one, which is printed.")]
Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait for the exchange's answer.", min=0, max=3600)]
Expires = Annotated[float, typer.Option("--expires", help="Seconds until it is taken back; 0: never.", min=0)]
Reason = Annotated[str, typer.Option("--reason", help="Why, in words.")]
Settings = Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@settle_app.command("keys")
def keys(
    name: Annotated[str, typer.Argument(help="How messages call the key, such as acme-2026.")],
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where NAME.pem goes.")] = Path(),
) -> None:
    """Make a key that signs messages: NAME.pem for its owner alone, and a line for the other party's file of keys."""
    from heliograph.cli.settle_keys import keys as run

    raise typer.Exit(run(name, directory))


@settle_app.command("deposit")
def deposit(
    user: User,
    asset: Asset,
    amount: Amount,
    reference: Reference,
    chain: Chain = "",
    address: Address = "",
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Book coins that have come into custody (custodian)."""
    from heliograph.cli.settle_changes import Coins
    from heliograph.cli.settle_changes import deposit as run
    from heliograph.cli.settle_parties import Party

    coins = Coins(user, asset, amount, chain, address)
    raise typer.Exit(run(Party(settings), coins, reference, as_json=json))


@settle_app.command("withdraw")
def withdraw(
    user: User,
    asset: Asset,
    amount: Amount,
    reference: Reference,
    chain: Chain = "",
    address: Address = "",
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Pay coins out of custody, which nothing holds (custodian)."""
    from heliograph.cli.settle_changes import Coins
    from heliograph.cli.settle_changes import withdraw as run
    from heliograph.cli.settle_parties import Party

    coins = Coins(user, asset, amount, chain, address)
    raise typer.Exit(run(Party(settings), coins, reference, as_json=json))


@settle_app.command("pledge")
def pledge(
    user: User,
    asset: Asset,
    amount: Amount,
    request_id: Id = "",
    wait: Wait = 10.0,
    expires: Expires = 0.0,
    chain: Chain = "",
    address: Address = "",
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Lock coins, and ask the exchange for as much credit (custodian); exit code 1 if it says no, or nothing."""
    from heliograph.cli.settle_changes import Coins, Order, order
    from heliograph.cli.settle_parties import Party

    coins = Coins(user, asset, amount, chain, address)
    raise typer.Exit(order(Party(settings), "increase", coins, Order(request_id, wait, expires), as_json=json))


@settle_app.command("unpledge")
def unpledge(
    user: User,
    asset: Asset,
    amount: Amount,
    request_id: Id = "",
    wait: Wait = 10.0,
    expires: Expires = 0.0,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Ask the exchange for less credit, and unlock the coins (custodian); exit code 1 if it says no, or nothing."""
    from heliograph.cli.settle_changes import Coins, Order, order
    from heliograph.cli.settle_parties import Party

    coins = Coins(user, asset, amount)
    raise typer.Exit(order(Party(settings), "decrease", coins, Order(request_id, wait, expires), as_json=json))


@settle_app.command("cancel")
def cancel(
    request_id: Annotated[str, typer.Argument(help="The request's name.")],
    reason: Reason = "",
    wait: Wait = 10.0,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Ask for a request back (custodian): it holds what it holds until the exchange has answered."""
    from heliograph.cli.settle_changes import cancel as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), request_id, reason, wait, as_json=json))


@settle_app.command("dispute")
def dispute(
    cycle: Annotated[str, typer.Argument(help="The cycle's name.")],
    leg: Annotated[str, typer.Argument(help="The leg's name.")],
    code: Annotated[str, typer.Option("--code", help="Why, as a code, such as wrong_net.")],
    reason: Reason = "",
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Dispute a leg of a report while its window is open (custodian)."""
    from heliograph.cli.settle_changes import dispute as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), cycle, leg, code, reason, as_json=json))


@settle_app.command("retract")
def retract(
    cycle: Annotated[str, typer.Argument(help="The cycle's name.")],
    leg: Annotated[str, typer.Argument(help="The leg's name.")],
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Take a dispute back (custodian)."""
    from heliograph.cli.settle_changes import dispute as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), cycle, leg, "", "", as_json=json))


@settle_app.command("freeze")
def freeze(
    level: Annotated[str, typer.Argument(help="link (all), party (a user), asset, or account (a user's asset).")],
    code: Annotated[str, typer.Option("--code", help="What whoever is refused is told, such as court_order.")],
    why: Annotated[str, typer.Option("--why", help="The reason in words.")],
    user: Annotated[str, typer.Option("--user", help="At the levels party and account.")] = "",
    asset: Annotated[str, typer.Option("--asset", help="At the levels asset and account.")] = "",
    direction: Annotated[str, typer.Option("--direction", help="all, inbound or outbound.")] = "all",
    who: Annotated[str, typer.Option("--who", help="Who orders it; default: who runs this.")] = "",
    until: Annotated[str, typer.Option("--until", help="Such as 2026-01-31T09:30Z; default: until unfreeze.")] = "",
    delegation: Annotated[bool, typer.Option("--credit-only", help="Stop changes of credit alone.")] = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Refuse deposits, pledges, withdrawals and settlement of what is named (custodian); what is in flight lands."""
    from heliograph.cli.settle_changes import Stopping
    from heliograph.cli.settle_changes import freeze as run
    from heliograph.cli.settle_parties import Party

    wanted = Stopping(level, user, asset, code, why, direction, who, until, delegation)
    raise typer.Exit(run(Party(settings), wanted, as_json=json))


@settle_app.command("unfreeze")
def unfreeze(
    place: Annotated[str, typer.Argument(help="As `freeze` prints it, such as party:alice::court_order.")],
    settings: Settings = None,
    json: Json = False,
) -> None:
    """End a freeze (custodian)."""
    from heliograph.cli.settle_changes import unfreeze as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), place, as_json=json))


@settle_app.command("status")
def status(settings: Settings = None, json: Json = False) -> None:
    """Ask a running custodian how it is; exit code 1 if it takes no more answers."""
    from heliograph.cli.settle_changes import status as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), as_json=json))


@settle_app.command("credit")
def credit(
    user: Annotated[str, typer.Argument(help="Whose; default: everybody's.")] = "",
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Print every account: what lies in custody and is pledged (custodian), what may be traded on it (exchange)."""
    from heliograph.cli.settle_books import credit as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), user, as_json=json))


@settle_app.command("requests")
def requests(
    only_open: Annotated[bool, typer.Option("--open", help="Leave out what is decided.")] = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Print the requests for credit, of either side."""
    from heliograph.cli.settle_books import requests as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), only_open=only_open, as_json=json))


@settle_app.command("decide")
def decide(
    request_id: Annotated[str, typer.Argument(help="The request's name.")],
    verdict: Annotated[str, typer.Argument(help="accepted or rejected.")],
    code: Annotated[str, typer.Option("--code", help="Why not, as a code; default: policy.")] = "",
    reason: Reason = "",
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Decide a request for credit, once and for ever (exchange); what runs there sends the answer."""
    from heliograph.cli.settle_exchange import decide as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), request_id, verdict, code, reason, as_json=json))


@settle_app.command("book")
def book(
    file: Annotated[str, typer.Argument(help="One trade a line, as JSON; - for standard input.")],
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Book trades (exchange), each line a list of changes with ref, user, asset, amount, at_ns that sum to zero.

    Exit code 1 if one was refused; the others are booked all the same, and none twice.
    """
    from heliograph.cli.settle_exchange import book as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), file, as_json=json))


@settle_app.command("report")
def report(
    cycle: Annotated[str, typer.Argument(help="The new cycle's name, such as 2026-11-21.")],
    cut_off: Annotated[str, typer.Option("--cut-off", help="The last instant in it; default: now.")] = "",
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Propose the net of all trades up to an instant to the custodian (exchange); what runs there sends it."""
    from heliograph.cli.settle_exchange import report as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), cycle, cut_off, as_json=json))


@settle_app.command("cycle")
def cycle(
    cycle_id: Annotated[str, typer.Argument(help="Which, with its legs; default: all.")] = "",
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Print settlement cycles, of either side."""
    from heliograph.cli.settle_books import cycle as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), cycle_id, as_json=json))


@settle_app.command("freezes")
def freezes(settings: Settings = None, json: Json = False) -> None:
    """Print what is frozen (custodian)."""
    from heliograph.cli.settle_books import freezes as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), as_json=json))


@settle_app.command("statement")
def statement(settings: Settings = None) -> None:
    """Print our own books as a signed file, with which the other party can `reconcile`."""
    from heliograph.cli.settle_books import statement as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings)))


@settle_app.command("reconcile")
def reconcile(
    statement: Annotated[
        Path | None, typer.Option("--statement", help="The other side's, from `settle statement`; else both at hand.")
    ] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Compare both sides' books figure by figure; exit code 1 if a difference has no cause."""
    from heliograph.cli.settle_books import reconcile as run
    from heliograph.cli.settle_parties import Party

    raise typer.Exit(run(Party(settings), statement, as_json=json))


@settle_app.command("audit")
def audit(
    file: Annotated[Path | None, typer.Argument(help="An export; default: the primary as it is.")] = None,
    export: Annotated[Path | None, typer.Option("--export", help="Also write what was audited to this file.")] = None,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Replay the custodian's journal, and compare every key with it; exit code 1 with the place of what is wrong."""
    from heliograph.cli.settle_audit import audit as run

    raise typer.Exit(run(settings, file, export, as_json=json))
