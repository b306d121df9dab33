"""`drydock show`: everything about a run, a machine or a group. `drydock history`: what was done to one in a year."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from drydock.aws.ec2 import name_of, platform_of, state_of, tags_of
from drydock.errors import UnreadableItemError
from drydock.records.history import find_history, find_left_over
from drydock.records.holder import Holder
from drydock.records.image_watches import find_watch, pending_of_run, watches_of
from drydock.records.leases import Lease, find_lease
from drydock.records.results import Result, readable_results_of
from drydock.records.runs import Place, Run, read_run
from drydock.records.work_names import name_work
from drydock.request.policy import OPERATIONS
from drydock.subject import Group, Instance, Subject
from drydock.tags import GROUP_TAG
from drydock.telling.details import detail_rows
from drydock.telling.message import Command, Link, Row, Section
from drydock.telling.tell_once import Told, told_of
from drydock.telling.text import console_link, object_link
from drydock_cli.documents import (
    HistoryDocument,
    LeaseFacts,
    MessageFacts,
    OwedFacts,
    PlaceFacts,
    ResultFacts,
    ShownGroup,
    ShownMachine,
    ShownRun,
    WatchFacts,
)
from drydock_cli.facts import (
    approval_facts,
    lease_facts,
    message_facts,
    owed_facts,
    pace_facts,
    place_facts,
    result_facts,
    text_of,
    watch_facts,
)
from drydock_cli.options import Account
from drydock_cli.problems import CommandError
from drydock_cli.run_list import read_runs, state_text, style_of
from drydock_cli.showing import STYLES, doing_text, error_line, machine_text, targets_text, words
from drydock_cli.stack import RunItems, Stack
from drydock_cli.subjects import NamedRun, find_named, find_subject
from drydock_cli.terminal import Terminal, count, length_of_time, read_time

_MOST_MACHINES, _MOST_FAILED, _MOST_RESULTS = 50, 20, 5
_TROUBLE_FIRST = ("failed", "gone", "busy", "not_attempted", "skipped", "")


def show(account: Account, stack: Stack, terminal: Terminal, name: str) -> int:
    """Show what a name stands for: a run, a machine or a group."""
    found = find_named(stack, name)
    match found:
        case NamedRun():
            _show_run(account, stack, terminal, found.run_id)
        case Instance():
            _show_machine(account, stack, terminal, found)
        case Group():
            _show_group(account, stack, terminal, found)
    return 0


def history(account: Account, stack: Stack, terminal: Terminal, name: str) -> int:
    """Show what was done to a machine or a group in the last year."""
    subject = find_subject(stack, name)
    found = readable_results_of(stack.table, subject)
    document: HistoryDocument = {
        "subject": subject.key,
        "results": [result_facts(result) for result in found.read],
        "unreadable": [one.reason for one in found.unreadable],
    }
    terminal.document(document)
    if not found.read and not found.unreadable:
        terminal.say(f"Nothing was done to {machine_text(subject.key, '')} in the last year.")
        return 0
    _show_results(terminal, document["results"])
    for reason in document["unreadable"]:
        terminal.say_wrapped(reason, style="bad", later="  ")
    return 0


# A run


def _show_run(account: Account, stack: Stack, terminal: Terminal, run_id: str) -> None:
    items = stack.read_run(run_id)
    if items.run is None:
        raise CommandError(f"run {run_id} is starting: try again in a minute")
    run = read_run(items.run)
    (facts,), _ = read_runs(stack, [items.run])
    places = _places(items)
    plan = stack.read_json(run.plan.key, run.plan.bucket) if run.plan else None
    report = stack.read_json(run.ended.report_key, run.ended.bucket) if run.ended and run.ended.report_key else None
    document: ShownRun = {
        "kind": "run",
        "run": facts,
        "targets": plan["targets"] if plan else [],
        "closed": dict(run.closed) if run.closed else None,
        "failure": run.ended.failure if run.ended else None,
        "approval": approval_facts(run),
        "machines": [place_facts(place) for place in places],
        "leases": _leases_of_run(stack, places) if not run.is_ended else [],
        "imageWatches": [
            watch_facts(watch)
            for one in pending_of_run(stack.table, run_id)
            if (watch := find_watch(stack.table, one.instance_id, one.image_id)) is not None
        ],
        "owedReboots": _owed_of(stack, [one["instanceId"] for one in (report or {}).get("owedReboots", [])]),
        "messages": _messages_of_run(stack, run, places),
        "links": _links_of_run(stack, run),
        "plan": plan,
        "report": report,
    }
    terminal.document(document)
    _tell_run(account, terminal, document, stack.now())


def _places(items: RunItems) -> list[Place]:
    found = []
    for item in items.machines.values():
        try:
            found.append(Place.from_item(item))
        except UnreadableItemError as error:
            found.append(
                Place(Instance(str(item["sk"])), "", outcome="failed", error=type(error).__name__, cause=str(error))
            )
    return sorted(found, key=lambda one: (_order_of(one.outcome), one.name, one.subject.key))


def _order_of(outcome: str) -> int:
    return _TROUBLE_FIRST.index(outcome) if outcome in _TROUBLE_FIRST else len(_TROUBLE_FIRST)


def _leases_of_run(stack: Stack, places: Sequence[Place]) -> list[LeaseFacts]:
    """What is done now to the machines in work: to those of groups, too."""
    leases = stack.read_leases([place.subject for place in places if not place.outcome])
    members = [Instance(one) for lease in leases for one in lease.members]
    return [lease_facts(lease) for lease in [*leases, *stack.read_leases(members)]]


def _owed_of(stack: Stack, instance_ids: Iterable[str]) -> list[OwedFacts]:
    histories = ((one, find_history(stack.table, "Install", one)) for one in instance_ids)
    return [owed_facts(one, found.owed) for one, found in histories if found and found.owed]


def _messages_of_run(stack: Stack, run: Run, places: Sequence[Place]) -> list[MessageFacts]:
    executions = [place.execution for place in places if place.outcome == "failed" and place.execution]
    told = told_of(stack.table, run.holder)
    for execution in executions[:_MOST_FAILED]:
        told += told_of(stack.table, Holder(execution, 0))
    return _in_order(told)


def _in_order(told: Iterable[Told]) -> list[MessageFacts]:
    return [message_facts(one) for one in sorted(told, key=lambda one: one.at)]


def _links_of_run(stack: Stack, run: Run) -> dict[str, str]:
    links = {"execution": console_link(run.holder.execution, stack.location)}
    if run.plan:
        links["plan"] = object_link(run.plan.bucket, run.plan.key, stack.location)
    if run.ended and run.ended.report_key:
        links["report"] = object_link(run.ended.bucket, run.ended.report_key, stack.location)
    return links


def _tell_run(account: Account, terminal: Terminal, shown: ShownRun, now: datetime) -> None:
    run, plan, report = shown["run"], shown["plan"], shown["report"]
    terminal.say_wrapped(f"Run {run['runId']}: {state_text(terminal, run)}", "", style_of(run) or "strong", later="  ")
    if run["operation"]:
        text = f"{run['operation']} on {count(run['planned'], 'machine')}"
        if shown["targets"]:
            text += f"; targets: {targets_text(shown['targets'])}"
        terminal.say_wrapped(text, "  ", later="    ")
    begun, ended = read_time(run["startedAt"]), read_time(run["endedAt"])
    text = f"Begun {terminal.at_text(run['startedAt'])}"
    if begun and ended:
        text += f", ended {terminal.at(ended)} after {length_of_time((ended - begun).total_seconds())}"
    elif plan and plan.get("end"):
        text += f", has to end by {terminal.at_text(plan['end'])}"
        if plan.get("predictedEnd"):
            text += f", predicted for {terminal.at_text(plan['predictedEnd'])}"
    terminal.say_wrapped(text, "  ", later="    ")
    if run["window"]:
        window = run["window"]
        terminal.say_wrapped(f"Window {window.get('name', '')} ({window.get('windowId', '?')})", "  ", later="    ")
    if run["startedBy"]:
        terminal.say_wrapped(f"Started by {run['startedBy']}", "  ", later="    ")
    if run["carriedOutBy"]:
        terminal.say(f"  Carried out by run {run['carriedOutBy']}")
    for label, why in (("Closed by", shown["closed"]), ("Ended with", shown["failure"])):
        if why:
            reason = error_line(why["error"], why.get("reason") or why.get("cause"))
            terminal.say_wrapped(f"{label} {reason}", "  ", "warn", later="    ")
    _tell_approval(account, terminal, shown)
    _tell_machines(terminal, shown, now)
    _tell_watches(terminal, shown["imageWatches"])
    _tell_owed(terminal, shown["owedReboots"], {one["instanceId"]: one["name"] for one in shown["machines"]})
    for heading, sentences in (
        ("Warnings", report["warnings"] if report else plan["warnings"] if plan else []),
        ("What to do next", [step["text"] for step in report["next"]] if report else []),
    ):
        _tell_sentences(terminal, heading, sentences)
    _tell_messages(terminal, shown["messages"])
    _heading(terminal, "Where to look")
    if report:
        terminal.say(f"  Report: {account.again('report', run['runId'], '--open')}")
    elif not run["endedAt"]:
        terminal.say(f"  Watch it: {account.again('watch', run['runId'])}")
    terminal.say(f"  Execution: {shown['links']['execution']}")


def _heading(terminal: Terminal, text: str) -> None:
    terminal.say()
    terminal.say(text, "strong")


def _tell_sentences(terminal: Terminal, heading: str, sentences: Sequence[str]) -> None:
    if sentences:
        _heading(terminal, heading)
        for sentence in sentences:
            terminal.say_wrapped(sentence, "  ", later="    ")


def _tell_approval(account: Account, terminal: Terminal, shown: ShownRun) -> None:
    approval, run = shown["approval"], shown["run"]
    if approval is None and not run["isWaiting"]:
        return
    _heading(terminal, "Approval")
    if approval is not None:
        terminal.say_wrapped(
            f"Asked {terminal.at_text(approval['askedAt'])}, until {terminal.at_text(approval['until'])}", "  "
        )
        for one in approval["decisions"]:
            reason = f": {one['reason']}" if one["reason"] else ""
            said = f"{words(one['decision'])} by {one['name'] or one['by']}, {terminal.at_text(one['at'])}{reason}"
            terminal.say_wrapped(said, "  ", later="    ")
    if run["isWaiting"]:
        whom = "you" if run["waitsForMe"] else "an approver"
        terminal.say_wrapped(f"Waits for {whom} until {terminal.at_text(run['until'])}:", "  ", "strong")
        terminal.say(f"    {account.again('approve', run['runId'])}")


def _tell_machines(terminal: Terminal, shown: ShownRun, now: datetime) -> None:
    machines = shown["machines"]
    if not machines:
        return
    _heading(terminal, f"Machines: {len(machines):,} whose turn came")
    leases = {one["subject"]: one for one in shown["leases"]}
    for machine in machines[:_MOST_MACHINES]:
        text = f"{machine_text(machine['instanceId'], machine['name'])}: {_place_text(machine)}"
        terminal.say_wrapped(text, "  ", STYLES.get(machine["outcome"], ""), later="    ")
        if machine["instanceId"] in leases:
            terminal.say_wrapped(doing_text(terminal, leases[machine["instanceId"]], now), "    ", later="      ")
    if len(machines) > _MOST_MACHINES:
        terminal.say(f"  … and {len(machines) - _MOST_MACHINES:,} more: --json has them all")


def _place_text(machine: PlaceFacts) -> str:
    began, ended = read_time(machine["admittedAt"]), read_time(machine["endedAt"])
    text = words(machine["outcome"] or "in work")
    if machine["verdict"] and machine["verdict"] != machine["outcome"]:
        text += f", {words(machine['verdict'])}"
    if began and ended:
        text += f", {length_of_time((ended - began).total_seconds())}"
    why = error_line(machine["error"], machine["cause"])
    return f"{text}: {why}" if why else text


def _tell_watches(terminal: Terminal, watches: Sequence[WatchFacts]) -> None:
    if watches:
        _heading(terminal, "Images that are followed")
    for watch in watches:
        text = f"{watch['imageId']}, {watch['moment']} the work on {machine_text(watch['instanceId'], watch['name'])}"
        until = f"asked for {terminal.at_text(watch['askedAt'])}, until {terminal.at_text(watch['deadline'])}"
        terminal.say_wrapped(f"{text}: {until}", "  ", later="    ")


def _tell_owed(terminal: Terminal, owed: Sequence[OwedFacts], names: Mapping[str, str]) -> None:
    if owed:
        _heading(terminal, "Owes a reboot")
    for one in owed:
        name = machine_text(one["instanceId"], names.get(one["instanceId"], ""))
        why = f": {', '.join(one['reasons'])}" if one["reasons"] else ""
        terminal.say_wrapped(f"{name} since {terminal.at_text(one['since'])}{why}", "  ", later="    ")


def _tell_messages(terminal: Terminal, messages: Sequence[MessageFacts]) -> None:
    if messages:
        _heading(terminal, "Messages")
    for message in messages:
        at = terminal.at_text(message["at"])[:16]
        terminal.say_wrapped(message["subject"], f"  {at}  ", later=" " * 20)


# A machine


def _show_machine(account: Account, stack: Stack, terminal: Terminal, machine: Instance) -> None:
    described = next(iter(stack.describe_instances({"instance-id": [machine.id]})), None)
    table = stack.table
    results = readable_results_of(table, machine).read
    lease, histories = _find_lease(stack, machine), {one: find_history(table, one, machine.id) for one in OPERATIONS}
    if described is None and not results and lease is None:
        raise CommandError(f"neither EC2 nor the stack {stack.name} in {stack.region} knows {machine.id}")
    install = histories["Install"]
    left = find_left_over(table, machine.id)
    tags = tags_of(described) if described else {}
    last = results[0].work if results else None
    document: ShownMachine = {
        "kind": "machine",
        "instanceId": machine.id,
        "name": name_of(described) if described else last.name if last else "",
        "state": state_of(described) if described else "gone",
        "platform": platform_of(described) if described else last.platform if last else "",
        "groupName": tags.get(GROUP_TAG, ""),
        "tags": dict(tags),
        "lease": lease_facts(lease) if lease else None,
        "imageWatches": [watch_facts(watch) for watch in watches_of(table, machine.id)],
        "owedReboots": [owed_facts(machine.id, install.owed)] if install and install.owed else [],
        "leftOverAt": text_of(left),
        "pace": {operation: pace_facts(found) for operation, found in histories.items() if found},
        "results": [result_facts(result) for result in results[:_MOST_RESULTS]],
        "messages": _messages_of(stack, lease, results),
        "links": _links_of(stack, results),
    }
    terminal.document(document)
    _tell_machine(account, stack, terminal, document)


def _find_lease(stack: Stack, subject: Subject) -> Lease | None:
    try:
        return find_lease(stack.table, subject)
    except UnreadableItemError as error:
        raise CommandError(str(error)) from error


def _messages_of(stack: Stack, lease: Lease | None, results: Sequence[Result]) -> list[MessageFacts]:
    holders = [result.holder for result in results[:_MOST_RESULTS]]
    if lease is not None and lease.holder not in holders:
        holders.append(lease.holder)
    return _in_order(told for holder in holders for told in told_of(stack.table, holder))


def _links_of(stack: Stack, results: Sequence[Result]) -> dict[str, str]:
    return {"execution": console_link(results[0].holder.execution, stack.location)} if results else {}


def _tell_machine(account: Account, stack: Stack, terminal: Terminal, shown: ShownMachine) -> None:
    name = machine_text(shown["instanceId"], shown["name"])
    terminal.say_wrapped(f"{name}: {shown['platform']}, {shown['state']}", "", "strong", later="  ")
    if shown["groupName"]:
        terminal.say_wrapped(f"Member of group {shown['groupName']}", "  ", later="    ")
    if shown["leftOverAt"]:
        terminal.say(f"  Left over {terminal.at_text(shown['leftOverAt'])}: it comes first in the next run")
    _tell_lease(terminal, shown["lease"], stack.now())
    for operation, pace in shown["pace"].items():
        if pace["doneAt"]:
            took = f", {length_of_time(pace['seconds'][0])} the last time" if pace["seconds"] else ""
            terminal.say_wrapped(f"Last {operation}: {terminal.at_text(pace['doneAt'])}{took}", "  ", later="    ")
    _tell_watches(terminal, shown["imageWatches"])
    _tell_owed(terminal, shown["owedReboots"], {shown["instanceId"]: shown["name"]})
    if shown["results"]:
        last = shown["results"][0]
        _heading(terminal, f"The last time: {terminal.at_text(last['startedAt'])}")
        _tell_result(terminal, last)
        if last["details"]:
            bucket = stack.output("LogBucketName")
            show_rows(
                terminal,
                detail_rows(shown["instanceId"], last["details"], stack.location, bucket, with_output=True),
                "  ",
            )
            _tell_steps(terminal, last)
    _tell_past(account, terminal, shown["instanceId"], shown)


def _tell_lease(terminal: Terminal, lease: LeaseFacts | None, now: datetime) -> None:
    if lease is None:
        terminal.say("  Nobody has it in work")
        return
    by = lease["execution"].rpartition(":")[2]
    phase = " (being given back)" if lease["phase"] == "RESTORING" else ""
    terminal.say_wrapped(f"In work by {by} since {terminal.at_text(lease['since'])}{phase}", "  ", "warn", later="    ")
    terminal.say_wrapped(doing_text(terminal, lease, now), "    ", later="      ")


def _tell_result(terminal: Terminal, result: ResultFacts) -> None:
    text = words(result["outcome"]) + (
        f", {words(result['verdict'])}" if result["verdict"] not in ("", result["outcome"]) else ""
    )
    text += f", {result['minutes']} min" + (f", in run {result['runId']}" if result["runId"] else "")
    why = error_line(result["error"], result["cause"])
    terminal.say_wrapped(f"{text}: {why}" if why else text, "  ", STYLES.get(result["outcome"], ""), later="    ")


def _tell_steps(terminal: Terminal, result: ResultFacts) -> None:
    for step in result["details"]["steps"] if result["details"] else ():
        began, ended = read_time(step["beganAt"]), read_time(step["endedAt"])
        if began:
            until = terminal.clock(ended) if ended else "     "
            terminal.say(f"  {terminal.clock(began)} to {until}  {name_work(step['name'])}", "faint")


def show_rows(terminal: Terminal, rows: Sequence[Row], indent: str) -> None:
    """The rows of a message, as a terminal shows them."""
    for row in rows:
        match row:
            case Command():
                terminal.say(f"{indent}{row.text}")
            case Link():
                terminal.say(f"{indent}{row.label}: {row.url}")
            case Section():
                terminal.say_wrapped(row.heading, indent, later=f"{indent}  ")
                show_rows(terminal, row.rows, f"{indent}  ")
            case str():
                terminal.say_wrapped(row, indent, later=f"{indent}  ")


# A group


def _show_group(account: Account, stack: Stack, terminal: Terminal, group: Group) -> None:
    results = readable_results_of(stack.table, group).read
    lease = _find_lease(stack, group)
    if lease is None and not results:
        raise CommandError(f"the stack {stack.name} in {stack.region} has never rolled through a group {group.name}")
    members = stack.read_leases([Instance(one) for one in lease.members]) if lease else []
    document: ShownGroup = {
        "kind": "group",
        "groupName": group.name,
        "lease": lease_facts(lease) if lease else None,
        "members": [lease_facts(one) for one in members],
        "results": [result_facts(result) for result in results[:_MOST_RESULTS]],
        "messages": _messages_of(stack, lease, results),
        "links": _links_of(stack, results),
    }
    terminal.document(document)
    terminal.say(f"Auto Scaling group {group.name}", "strong")
    _tell_lease(terminal, document["lease"], stack.now())
    for member in document["members"]:
        name = machine_text(member["subject"], member["name"])
        terminal.say_wrapped(f"{name}: {doing_text(terminal, member, stack.now())}", "    ", later="      ")
    if document["results"]:
        last = document["results"][0]
        _heading(terminal, f"The last roll: {terminal.at_text(last['startedAt'])}")
        _tell_result(terminal, last)
        for member_id, outcome in last["members"].items():
            terminal.say(f"    {member_id}: {words(outcome)}", STYLES.get(outcome, ""))
        for problem in last["problems"]:
            terminal.say_wrapped(problem, "    ", "warn", later="      ")
    _tell_past(account, terminal, group.key, document)


def _tell_past(account: Account, terminal: Terminal, subject: str, shown: ShownMachine | ShownGroup) -> None:
    """What came before the last execution of a machine or a group, what was told of it, and where it stands."""
    if len(shown["results"]) > 1:
        _heading(terminal, "Before that")
        _show_results(terminal, shown["results"][1:])
        terminal.say(f"  All of a year: {account.again('history', subject)}")
    _tell_messages(terminal, shown["messages"])
    if shown["links"]:
        _heading(terminal, "Where to look")
        terminal.say(f"  Execution: {shown['links']['execution']}")


def _show_results(terminal: Terminal, results: Sequence[ResultFacts]) -> None:
    for result in results:
        details = result["details"]
        text = f"{result['operation'] or '?'}: {words(result['outcome'])}"
        if result["verdict"] not in ("", result["outcome"]):
            text += f", {words(result['verdict'])}"
        text += f", {result['minutes']} min"
        if details and details["missingBefore"] >= 0:
            after = details["missingAfter"] if details["missingAfter"] >= 0 else "?"
            text += f", missing {details['missingBefore']} → {after}"
        if result["members"]:
            text += f", {count(len(result['members']), 'member')}"
        if result["runId"]:
            text += f", run {result['runId']}"
        why = error_line(result["error"], result["cause"])
        at = terminal.at_text(result["startedAt"])[:16]
        style = STYLES.get(result["outcome"], "")
        terminal.say_wrapped(f"{text}: {why}" if why else text, f"  {at}  ", style, later=" " * 20)
