"""The command: says what it will do and what that costs, does it when it may, and writes smoke.json."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.smoke.account import Account, SmokeError
from tools.smoke.questions import ASKED, ask_all, remove_leftovers
from tools.smoke.stack import Deployment, Sam, check_sdk, download, is_ours, remove, scan, today, validate

DONE, FAILED, REFUSED = 0, 1, 2


def main(
    arguments: Sequence[str] | None = None,
    deployment: Deployment | None = None,
    fetch: Callable[[str], bytes] = download,
) -> int:
    """Carry out the command, and return the exit code: 0, 1 when something answered badly, 2 when refused."""
    options = _read(arguments)
    account = Account(options.stack, options.region)
    try:
        if options.remove:
            return _remove(options, account, deployment or Sam())
        return _ask(options, account, deployment or Sam(), fetch)
    except SmokeError as error:
        print(f"smoke: {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"smoke: AWS: {error}", file=sys.stderr)
    return REFUSED


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.smoke", description=__doc__)
    parser.add_argument("--instance", help="a running managed instance that may be scanned; nothing else touches one")
    parser.add_argument("--stack", default="drydock-smoke", help="the stack to make (default: %(default)s)")
    parser.add_argument("--deployed", action="store_true", help="the stack is there: deploy nothing")
    parser.add_argument("--region")
    parser.add_argument("--out", type=Path, default=Path("smoke.json"), help="what to write (default: %(default)s)")
    parser.add_argument("--remove", action="store_true", help="remove all that an earlier smoke made")
    parser.add_argument("--yes", action="store_true", help="do it; without, only say what would be done")
    options = parser.parse_args(arguments)
    if not options.remove and not options.instance:
        parser.error("--instance is missing: name a running managed instance that may be scanned")
    return options


def _ask(options: argparse.Namespace, account: Account, deployment: Deployment, fetch: Callable[[str], bytes]) -> int:
    print(f"You are {account.caller}, in {account.own_region}.")
    instance = account.find_instance(options.instance)
    found = account.find_stack()
    if options.deployed and found is None:
        raise SmokeError(f"there is no stack {account.stack} to be asked about: leave out --deployed")
    if found and not options.deployed and not is_ours(found):
        raise SmokeError(f"{account.stack} is there already, and not the smoke's: take --deployed, or another --stack")
    print("\n".join(_plan(options, account)))
    if not options.yes:
        print("Nothing was done: add --yes.")
        return DONE
    report: dict[str, Any] = {"date": today(), "region": account.own_region, "instance": instance.instance_id}
    report["definitions"] = validate(account)
    print(f"Step Functions takes {len(report['definitions'])} definitions.")
    if not options.deployed:
        deployment.deploy(account)
    outputs = account.outputs()
    sdk = check_sdk(account, fetch)
    report["sdk"] = asdict(sdk)
    print(f"The SDK in the functions knows every call: {sdk.answer or 'unknown'} ({sdk.because}).")
    answers = ask_all(account, instance)
    scanned, windows = scan(account, outputs, instance)
    report["scan"] = asdict(scanned)
    print(f"A Scan of {instance.instance_id} ends well: {scanned.answer} ({scanned.because}).")
    report["answers"] = {**answers, "windows-probe": asdict(windows)}
    for name, given in report["answers"].items():
        print(f"{name}: {given['answer'] or 'not answered'} ({given['because']}).")
    report["left"] = remove_leftovers(account)
    options.out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"Written to {options.out}. To take it up:\n  make fidelity SMOKE={options.out}")
    if not options.deployed:
        print(f"To remove what was made:\n  {_removal(options)}")
    return FAILED if "no" in (sdk.answer, scanned.answer) or report["left"] else DONE


def _plan(options: argparse.Namespace, account: Account) -> list[str]:
    """Return what will be done, a line each, and what it costs."""
    first = (
        f"look at the stack {account.stack}, which is there"
        if options.deployed
        else f"build and deploy the stack {account.stack} (its window does not start Drydock)"
    )
    makes = [f"make, and remove again, {asked.does} ({', '.join(asked.questions)})" for asked in ASKED]
    return [
        "This will",
        "  have Step Functions validate the three definitions,",
        f"  {first},",
        "  download the deployed layer, and look whether its boto3 knows every call,",
        *(f"  {line}," for line in makes),
        f"  make one Scan of {options.instance}, which installs and reboots nothing,",
        f"  and write {options.out}.",
        "It takes half an hour and costs less than $0.10 at us-east-1's prices; a stack that stays, $0.20 a month.",
    ]


def _removal(options: argparse.Namespace) -> str:
    """Return the command that removes what this one made, to be pasted."""
    region = f" --region {options.region}" if options.region else ""
    return f".venv/bin/python -m tools.smoke --stack {options.stack}{region} --remove --yes"


def _remove(options: argparse.Namespace, account: Account, deployment: Deployment) -> int:
    print(f"You are {account.caller}, in {account.own_region}.")
    print(f"This removes the stack {account.stack}, its table, its bucket, and what of {account.leftover} is left.")
    if not options.yes:
        print("Nothing was done: add --yes.")
        return DONE
    for one in remove(account, deployment):
        print(f"Removed: {one}.")
    left = remove_leftovers(account)
    for one in left:
        print(f"smoke: left over: {one}", file=sys.stderr)
    return FAILED if left else DONE
