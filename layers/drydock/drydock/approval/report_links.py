"""The link to the page of a run's report, where people have no AWS credentials: for this one object, for two weeks."""

from __future__ import annotations

from datetime import timedelta

from drydock.approval.approvals import Ways
from drydock.errors import AwsCallFailedError
from drydock.log import logger
from drydock.records.runs import Run
from drydock.telling.links import hash_of_key, link_to, make_key
from drydock.times import to_text

REPORT_PATH = "/report"
REPORT_LINK_LIVES = timedelta(days=14)
"""Counted from the end of the run."""


def _report_key(ways: Ways, run: Run) -> str:
    """Another than the approval's: who may read what became of a run has not been asked to decide about one.

    Empty where there are no links, or none can be made: people hear of a run all the same.
    """
    if ways.auth != "LINK" or not ways.url:
        return ""
    try:
        return make_key(ways.key, "drydock report", run.holder.execution, to_text(run.started))
    except AwsCallFailedError as error:
        logger.error("no link to the report can be made", reason=str(error))
        return ""


def hash_of_report_key(ways: Ways, run: Run) -> str:
    """What is stored of the key, when the run ends; empty without one."""
    key = _report_key(ways, run)
    return hash_of_key(key) if key else ""


def report_link(ways: Ways, run: Run) -> str:
    """The address that a message names; empty where none opens the report."""
    if not run.require_end().report_link_hash:
        return ""
    key = _report_key(ways, run)
    return link_to(ways.url, REPORT_PATH, run.run_id, key) if key else ""
