"""How English writes numbers, plurals, times, durations and lists; and all of its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from drydock.catalogue.english import (
    approval,
    approval_page,
    aws,
    errors,
    estimates,
    group,
    group_work,
    machine,
    machine_commands,
    machine_refusals,
    machine_work,
    plans,
    pruning,
    reboots,
    records,
    report_page,
    request,
    restoring,
    run,
    run_work,
    shared,
)
from drydock.catalogue.language import Language


def _number(count: int) -> str:
    return f"{count:,}"


def _form(count: int, forms: Sequence[str]) -> str:
    return forms[0] if abs(count) == 1 else forms[-1]


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}{_offset(moment)}"


def _offset(moment: datetime) -> str:
    """Which of the two it is, of a time that the clocks of its zone show twice; empty for any other."""
    if moment.replace(fold=0).utcoffset() == moment.replace(fold=1).utcoffset():
        return ""
    offset = f"{moment:%z}"
    return f" {offset[:3]}:{offset[3:5]}"


def _day(moment: date) -> str:
    return f"{moment:%Y-%m-%d}"


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M}{_offset(moment)}"


def _weekday(moment: datetime) -> str:
    return f"{moment:%a %H:%M}"


def _span(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest} min"
    return f"{hours:,} h {rest} min" if rest else f"{hours:,} h"


def _listing(names: Sequence[str], more: int) -> str:
    return f"{', '.join(names)} and {more:,} more" if more > 0 else ", ".join(names)


def _all(*parts: dict[str, str]) -> dict[str, str]:
    """The sentences of all modules. Raises ValueError for a key that two of them have."""
    found: dict[str, str] = {}
    for part in parts:
        if twice := found.keys() & part.keys():
            raise ValueError(f"twice in the catalogue: {sorted(twice)}")
        found |= part
    return found


ENGLISH = Language(
    sentences=_all(
        approval.SENTENCES,
        approval_page.SENTENCES,
        run_work.SENTENCES,
        estimates.SENTENCES,
        group_work.SENTENCES,
        machine_work.SENTENCES,
        machine_commands.SENTENCES,
        machine_refusals.SENTENCES,
        aws.SENTENCES,
        records.SENTENCES,
        errors.SENTENCES,
        group.SENTENCES,
        machine.SENTENCES,
        plans.SENTENCES,
        pruning.SENTENCES,
        reboots.SENTENCES,
        report_page.SENTENCES,
        request.SENTENCES,
        restoring.SENTENCES,
        run.SENTENCES,
        shared.SENTENCES,
    ),
    number=_number,
    form=_form,
    time=_time,
    day=_day,
    clock=_clock,
    weekday=_weekday,
    span=_span,
    listing=_listing,
)
