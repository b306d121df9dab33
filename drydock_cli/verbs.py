"""The verbs for a real stack, with their options. What carries them out is loaded when it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from drydock.request.checking import INSTANCE_ID, RUN_ID
from drydock.request.policy import MOST_DEADLINE_MINUTES, Operation
from drydock_cli.options import Account, Order
from drydock_cli.terminal import Terminal

if TYPE_CHECKING:
    from drydock_cli.stack import Stack

OpenStack = Callable[[Account], "Stack"]

_INTERVAL = 10
_PANEL = "Where, and how it is told"


@dataclass(frozen=True)
class Setting:
    """Where the verbs are carried out."""

    terminal: Terminal = field(default_factory=Terminal.of_process)
    opens: OpenStack | None = None
    """None opens the stack in AWS."""


def _check_run_id(text: str | None) -> str | None:
    for mistake in RUN_ID("", text) if text is not None else ():
        raise typer.BadParameter(mistake.removeprefix(": "))
    return text


def _check_instance_id(text: str) -> str:
    for mistake in INSTANCE_ID("", text):
        raise typer.BadParameter(mistake.removeprefix(": "))
    return text


_Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        callback=_check_run_id,
        help="The run's id, the beginning of it, latest or waiting.",
        show_default=False,
    ),
]
_Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="KEY=VALUE[,VALUE]",
        help="The machines, as Run Command names them: 'tag:Patch Group=web,db', InstanceIds=i-…, "
        "resource-groups:Name=…; a machine has to fit every --target.",
    ),
]
_Minutes = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_DEADLINE_MINUTES,
        help="In so many minutes the last machine is given back; deadlineMinutes of the account's settings by default.",
    ),
]
_Operation = Annotated[
    Operation | None,
    typer.Option(
        metavar="OPERATION",
        help="Install (by default); Scan, which only looks; or UpdateAgents, which patches nothing.",
    ),
]
_Policy = Annotated[
    str | None, typer.Option("--policy", metavar="FILE|JSON", help="What to do, over the account's settings.")
]
_Name = Annotated[
    str | None, typer.Option(metavar="RUN", callback=_check_run_id, help="The run's id; made up by default.")
]
_Resume = Annotated[
    str | None, typer.Option(metavar="RUN", callback=_check_run_id, help="Take up what is left of this run.")
]
_Follows = Annotated[
    str | None,
    typer.Option(metavar="RUN", callback=_check_run_id, help="With the patches of this run, if it succeeded."),
]
_Plan = Annotated[
    str | None, typer.Option(metavar="RUN", callback=_check_run_id, help="Carry out the plan of this run.")
]
_Window = Annotated[
    str | None, typer.Option(metavar="ID", help="Plan the next opening of this window, to be approved before it opens.")
]
_Interval = Annotated[int, typer.Option(min=1, max=3600, metavar="SECONDS", help="Between looks.")]
_Reason = Annotated[str, typer.Option(help="Why; stands in the report.", show_default=False)]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

_Stack = Annotated[str | None, typer.Option(help="The stack's name (DRYDOCK_STACK; drydock).", rich_help_panel=_PANEL)]
_Profile = Annotated[str | None, typer.Option(help="A profile of the AWS CLI (AWS_PROFILE).", rich_help_panel=_PANEL)]
_Region = Annotated[str | None, typer.Option(help="The Region (AWS_REGION).", rich_help_panel=_PANEL)]
_Endpoint = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Another endpoint of AWS (AWS_ENDPOINT_URL).", rich_help_panel=_PANEL),
]
_Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else.", rich_help_panel=_PANEL)
]


def run(
    context: typer.Context,
    target: _Targets = None,
    minutes: _Minutes = None,
    operation: _Operation = None,
    policy: _Policy = None,
    name: _Name = None,
    resume: _Resume = None,
    follows: _Follows = None,
    plan: _Plan = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show what happens until the run ends.")] = False,
    interval: _Interval = _INTERVAL,
    yes: _Yes = False,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Start a maintenance run.

    The exit code is 0 when it has begun, and 2 when it was refused. With --watch it is that of the run: 0 well,
    1 failed, 2 something is left to do, 3 late.
    """
    from drydock_cli import start

    account = Account(stack, profile, region, endpoint_url)
    order = Order(tuple(target or ()), minutes, operation, policy, name, resume, follows, plan, is_sure=yes)
    _carry_out(
        context,
        account,
        json,
        lambda opened, terminal: start.run(account, opened, terminal, order, interval if watch else None),
    )


def plan(
    context: typer.Context,
    target: _Targets = None,
    minutes: _Minutes = None,
    operation: _Operation = None,
    policy: _Policy = None,
    name: _Name = None,
    resume: _Resume = None,
    follows: _Follows = None,
    window: _Window = None,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Plan a run and show the plan; nothing is touched.

    The exit code is 2 when something has to be done before the run.
    """
    from drydock_cli import start

    account = Account(stack, profile, region, endpoint_url)
    order = Order(
        tuple(target or ()), minutes, operation, policy, name, resume, follows, is_only_planned=True, window=window
    )
    _carry_out(context, account, json, lambda opened, terminal: start.plan(account, opened, terminal, order))


def watch(
    context: typer.Context,
    run: _Run,
    once: Annotated[bool, typer.Option("--once", help="Show the run as it is now, and end.")] = False,
    interval: _Interval = _INTERVAL,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Show what happens in a run until it ends.

    The exit code is that of the run: 0 well, 1 failed, 2 something is left to do, 3 late; 4 with --once when it goes
    on.
    """
    from drydock_cli import watch as watching

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(
        context,
        account,
        json,
        lambda opened, terminal: watching.watch(
            account, opened, terminal, opened.find_run_id(run), None if once else interval
        ),
    )


def stop(
    context: typer.Context,
    run: _Run,
    reason: _Reason = "",
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Let no new machine of a run begin; those in work finish properly."""
    from drydock_cli import stop as stopping

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(
        context,
        account,
        json,
        lambda opened, terminal: stopping.stop(account, opened, terminal, opened.find_run_id(run), reason),
    )


def approve(
    context: typer.Context,
    run: _Run,
    reason: _Reason = "",
    yes: _Yes = False,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Approve the plan of a run."""
    from drydock_cli.decide import decide

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(
        context,
        account,
        json,
        lambda opened, terminal: decide(opened, terminal, opened.find_run_id(run), "approve", reason, yes),
    )


def reject(
    context: typer.Context,
    run: _Run,
    reason: _Reason = "",
    yes: _Yes = False,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Reject the plan of a run."""
    from drydock_cli.decide import decide

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(
        context,
        account,
        json,
        lambda opened, terminal: decide(opened, terminal, opened.find_run_id(run), "reject", reason, yes),
    )


def report(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            callback=_check_run_id,
            help="The run's id, the beginning of it, or latest.",
            show_default=False,
        ),
    ],
    opens: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", dir_okay=False, help="Where to; drydock-report-RUN.html in this folder by default."
        ),
    ] = None,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Fetch the report of a run that has ended: a page for the browser, or with --json the report itself."""
    from drydock_cli import report as reporting

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(
        context, account, json, lambda opened, terminal: reporting.report(opened, terminal, run, output, opens=opens)
    )


def list_runs(
    context: typer.Context,
    most: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="So many at the most.")] = 20,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="RUN", callback=_check_run_id, help="Those that began before this one: the next page."),
    ] = None,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Show the runs of the last year, the newest first: how each of them is, and which wait for you."""
    from drydock_cli import run_list

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(
        context, account, json, lambda opened, terminal: run_list.list_runs(account, opened, terminal, most, older_than)
    )


_Named = Annotated[
    str,
    typer.Argument(
        metavar="RUN|MACHINE|GROUP",
        help="A run's id, the beginning of it, latest or waiting; a machine's id or Name; group/NAME.",
        show_default=False,
    ),
]


def show(
    context: typer.Context,
    name: _Named,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Show everything about a run, a machine or an Auto Scaling group."""
    from drydock_cli import show as showing

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(context, account, json, lambda opened, terminal: showing.show(account, opened, terminal, name))


def history(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="MACHINE|GROUP", help="A machine's id or Name; group/NAME.", show_default=False),
    ],
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Show what was done to a machine or an Auto Scaling group in the last year."""
    from drydock_cli import show as showing

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(context, account, json, lambda opened, terminal: showing.history(account, opened, terminal, name))


def images(
    context: typer.Context,
    prune: Annotated[
        bool, typer.Option("--prune/--dry-run", help="Let those go that nobody needs; by default they are only shown.")
    ] = False,
    yes: _Yes = False,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Show the images that the stack has made, which of them nobody needs, and why the others stay."""
    from drydock_cli import images as pruning

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(
        context, account, json, lambda opened, terminal: pruning.images(opened, terminal, prune=prune, is_sure=yes)
    )


def init(
    context: typer.Context,
    mail: Annotated[str | None, typer.Option(help="Who is told of results: a mail address.")] = None,
    approvers: Annotated[
        str | None, typer.Option(help="Who approves runs: ARNs between commas; empty for nobody.")
    ] = None,
    machines: Annotated[str | None, typer.Option(metavar="KEY=VALUE", help="The tag of the window's machines.")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="'CRON ZONE'", help="When the window opens: 'cron(0 22 ? * TUE#2 *) Asia/Tokyo'."),
    ] = None,
    hours: Annotated[str | None, typer.Option(metavar="N", help="How long the window is open.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="The line that deploys; deploy-STACK.sh by default."),
    ] = None,
    yes: _Yes = False,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Write the account's policy, its approvers and the line that deploys, out of five questions.

    What would change is shown first, and nothing is deployed.
    """
    from drydock_cli import init as beginning

    account = Account(stack, profile, region, endpoint_url)
    given = beginning.Answers(mail, approvers, machines, schedule, hours)
    _carry_out(
        context, account, json, lambda opened, terminal: beginning.init(opened, terminal, given, output, is_sure=yes)
    )


def check(
    context: typer.Context,
    target: _Targets = None,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Check whether the stack is well, and whether machines can be patched: those of its window, or of --target.

    The exit code is 2 when something is to do.
    """
    from drydock_cli import check as checking

    account = Account(stack, profile, region, endpoint_url)
    _carry_out(context, account, json, lambda opened, terminal: checking.check(opened, terminal, tuple(target or ())))


def undo(
    context: typer.Context,
    machine: Annotated[
        str,
        typer.Argument(metavar="MACHINE", callback=_check_instance_id, help="The instance's id.", show_default=False),
    ],
    image: Annotated[
        str | None,
        typer.Option(metavar="AMI", help="Another image of this machine than that before its last patching."),
    ] = None,
    volume: Annotated[
        str | None, typer.Option(metavar="ID", help="The root volume that an earlier undo has kept: undoes that one.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="Wait for the end, and show it.")] = True,
    interval: _Interval = _INTERVAL,
    yes: _Yes = False,
    stack: _Stack = None,
    profile: _Profile = None,
    region: _Region = None,
    endpoint_url: _Endpoint = None,
    json: _Json = False,
) -> None:
    """Bring a machine back to what it was before it was patched: its root volume, and nothing else.

    The exit code is 0 when it runs from the earlier root volume, 1 when that failed, and 2 when it was refused.
    """
    from drydock_cli import undo as undoing

    account = Account(stack, profile, region, endpoint_url)
    given = {"instanceId": machine, **({"imageId": image} if image else {}), **({"volumeId": volume} if volume else {})}
    _carry_out(
        context,
        account,
        json,
        lambda opened, terminal: undoing.undo(
            opened, terminal, given, is_sure=yes, interval=interval if watch else None
        ),
    )


VERBS: Mapping[str, Callable[..., None]] = {
    "init": init,
    "check": check,
    "plan": plan,
    "run": run,
    "list": list_runs,
    "show": show,
    "watch": watch,
    "stop": stop,
    "approve": approve,
    "reject": reject,
    "history": history,
    "report": report,
    "images": images,
    "undo": undo,
}
"""By their names, in the order in which people are told of them."""


def _carry_out(
    context: typer.Context, account: Account, is_json: bool, work: Callable[[Stack, Terminal], int]
) -> NoReturn:
    """End with the exit code of a verb. Whatever goes wrong is one line."""
    from botocore.exceptions import BotoCoreError, ClientError

    from drydock.errors import DrydockError
    from drydock_cli.exit_codes import FAILED
    from drydock_cli.problems import CommandError, explain
    from drydock_cli.stack import open_stack

    setting = context.obj or Setting()
    terminal = setting.terminal
    terminal.is_json = is_json
    try:
        code = work((setting.opens or open_stack)(account), terminal)
    except CommandError as error:
        code = error.exit_code
        terminal.problem(error.lines, code)
    except (BotoCoreError, ClientError, DrydockError) as error:
        code = FAILED
        terminal.problem([explain(error, account.profile or os.environ.get("AWS_PROFILE"))], code)
    raise typer.Exit(code)
