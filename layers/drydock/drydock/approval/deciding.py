"""What people decide about runs: signed requests, the page behind a link, and what they wrote in a parameter.

Reading changes nothing, however often it is done. An unknown run and a wrong key get one and the same answer, and
leave nothing in the logs; keys are never logged at all.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from drydock.approval.approval_page import HEADERS, Form, Notice, PlanView, Tone, message_page, plan_page
from drydock.approval.approvals import (
    APPROVED,
    MOST_NAME,
    MOST_REASON,
    NOT_ANSWERED,
    VERDICTS,
    Approval,
    Decision,
    DecisionRefusedError,
    Ways,
    approval_of,
    approvals_needed,
    approvers_of,
    can_be_withdrawn,
    clean_text,
    decisions_parameter,
    end_late_approval,
    look_for_decisions,
    name_of,
    require_approver,
    take_decision,
)
from drydock.approval.report_links import REPORT_LINK_LIVES, REPORT_PATH
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import DrydockError, PlanChangedError, ServiceUnavailableError
from drydock.log import logger, name_in_log
from drydock.plan.stored_plans import read_plan
from drydock.records.runs import MOST_RUN_ID, Run, find_run, report_page_key
from drydock.request.checking import is_odd
from drydock.telling.commands import drydock
from drydock.telling.links import fits
from drydock.telling.text import location_of
from drydock.times import for_people

_MOST_BODY = 8_192
REPORT_SIGNED_FOR = timedelta(minutes=5)
"""So long S3 takes what the link to a report leads to."""
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"

Response = dict[str, Any]

_TONES: Mapping[str, Tone] = {"": "plain", "approved": "approved", "rejected": "rejected"}


@dataclass(frozen=True)
class DecisionRequest:
    """What came in through the function URL."""

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    body: bytes
    caller: str
    """The ARN that signed the request; empty for nobody."""

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> DecisionRequest:
        """Read an event in payload format 2.0. Raises DecisionRefusedError."""
        context = event["requestContext"]
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        body = (event.get("body") or "").encode()
        if event.get("isBase64Encoded"):
            try:
                body = base64.b64decode(body, validate=True)
            except binascii.Error as error:
                raise DecisionRefusedError(400, say("http.body")) from error
        return cls(
            method=context["http"]["method"].upper(),
            path=event.get("rawPath") or "/",
            query=event.get("queryStringParameters") or {},
            content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
            body=body,
            caller=str((((context.get("authorizer") or {}).get("iam")) or {}).get("userArn") or ""),
        )

    def require(self, content_type: str) -> str:
        """The body as text. Raises DecisionRefusedError."""
        if len(self.body) > _MOST_BODY:
            raise DecisionRefusedError(413, say("http.too_large"))
        if self.content_type != content_type:
            raise DecisionRefusedError(415, say("http.type", type=content_type))
        try:
            return self.body.decode()
        except UnicodeDecodeError as error:
            raise DecisionRefusedError(400, say("http.not_utf8")) from error


def decide_run(services: Services, ways: Ways, event: Mapping[str, Any]) -> Response | None:
    """Answer a request of the function URL, or look at the parameter that an event of Parameter Store names."""
    if "detail" in event:
        _look_at_parameter(services, ways, str(event["detail"].get("name", "")))
        return None
    if ways.auth == "LINK":
        return _serve_page(services, event)
    return _serve_signed(services, event)


def _look_at_parameter(services: Services, ways: Ways, name: str) -> None:
    """An event is only a hint: who wrote what is read from the parameter's history."""
    prefix = decisions_parameter(services.environment.stack, "")
    full = f"/{name.lstrip('/')}"
    run = _find_run(services, full.removeprefix(prefix)) if full.startswith(prefix) else None
    if run is None:
        logger.warning("a decision about an unknown run", parameter=name)
        return
    look_for_decisions(services, ways, run)


def _find_run(services: Services, run_id: str) -> Run | None:
    # What cannot be a run's id is looked up all the same, as one that nobody has: no answer is quicker than another.
    run = find_run(services.table, run_id if 0 < len(run_id) <= MOST_RUN_ID else "?")
    if run is not None:
        name_in_log(run=run.run_id)
    return run


def _decide(services: Services, run: Run, shown_hash: str, decision: Decision) -> tuple[Run, str]:
    """Store a decision and wake the run. The run as it is then, and what the person is told.

    Raises DecisionRefusedError.
    """
    try:
        run, is_new = take_decision(services, run, shown_hash, decision)
    except DecisionRefusedError as refused:
        if refused.status in (409, 410):
            _wake(services, find_run(services.table, run.run_id) or run)
        raise
    logger.info("decided", by=decision.by, decision=decision.decision, via=decision.via)
    return run, _said(run, is_new, is_awake=_wake(services, run))


def _wake(services: Services, run: Run) -> bool:
    """Once a decision is stored it stands: the run's next entry finds it, should it not be woken now."""
    try:
        return end_late_approval(services, run)
    except DrydockError as error:
        logger.warning("not woken", reason=str(error))
        return False


def _said(run: Run, is_new: bool, *, is_awake: bool) -> str:
    """What a person is told whose decision was taken."""
    approval = approval_of(run)
    if approval is None or not approval.decision:
        have = len({one.person for one in approval.decisions}) if approval else 0
        missing = approvals_needed(run) - have
        return say("decided.counts" if is_new else "decided.counted", missing=missing)
    if approval.decision == APPROVED:
        if not approval.token:
            return say("decided.plan", run=run.run_id)
        return say("decided.approved" if is_awake else "decided.approved.later", run=run.run_id)
    return say("decided.rejected", run=run.run_id)


# Signed requests.


def _serve_signed(services: Services, event: Mapping[str, Any]) -> Response:
    try:
        request = DecisionRequest.read(event)
        if request.path.rstrip("/") != "/decide":
            raise DecisionRefusedError(404, say("http.nothing"))
        if request.method != "POST":
            return _json(405, {"message": say("http.only_post")}, {"Allow": "POST"})
        return _decide_signed(services, request)
    except DecisionRefusedError as refused:
        return _json(refused.status, {"message": str(refused)})
    except DrydockError as error:
        return _json(_status_of(error), {"message": say("http.try_again")})


def _decide_signed(services: Services, request: DecisionRequest) -> Response:
    given = _read_json(request.require(_JSON))
    run = _find_run(services, given["runId"])
    if run is None:
        raise DecisionRefusedError(404, say("http.no_run"))
    verdict = VERDICTS[given["decision"]]
    require_approver(services, approvers_of(services), run, request.caller, verdict)
    decision = Decision(
        by=request.caller,
        name=name_of(request.caller),
        decision=verdict,
        reason=clean_text(given["reason"], MOST_REASON),
        at=services.now(),
        via="url",
    )
    run, said = _decide(services, run, given["hash"], decision)
    approval = approval_of(run)
    result = (approval.decision if approval else "") or "counted"
    return _json(200, {"runId": run.run_id, "result": result, "message": said, "by": request.caller})


def _read_json(text: str) -> dict[str, str]:
    """Raises DecisionRefusedError."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecisionRefusedError(400, say("http.not_json")) from error
    wanted = {"runId": "", "hash": "", "decision": "", "reason": "", **(given if isinstance(given, dict) else {})}
    if set(wanted) != {"runId", "hash", "decision", "reason"} or not all(
        isinstance(one, str) for one in wanted.values()
    ):
        raise DecisionRefusedError(400, say("http.wrong_texts"))
    _require_plain(wanted.values())
    if wanted["decision"] not in VERDICTS:
        raise DecisionRefusedError(400, say("http.decision"))
    return wanted


def _json(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    common = {"Content-Type": _JSON, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return {"statusCode": status, "headers": {**common, **(headers or {})}, "body": json.dumps(content)}


def _status_of(error: DrydockError) -> int:
    logger.error("not decided", error=type(error).__name__, reason=str(error))
    return 503 if isinstance(error, ServiceUnavailableError) else 500


# The page behind a link.


def _serve_page(services: Services, event: Mapping[str, Any]) -> Response:
    response = _answer_page(services, event)
    return {**response, "body": ""} if event["requestContext"]["http"]["method"] == "HEAD" else response


def _answer_page(services: Services, event: Mapping[str, Any]) -> Response:
    try:
        request = DecisionRequest.read(event)
        if request.path == REPORT_PATH and request.method in ("GET", "HEAD"):
            return _show_report(services, request)
        if request.path != "/":
            return _not_found()
        if request.method in ("GET", "HEAD"):
            return _show(services, request)
        if request.method == "POST":
            return _decide_by_form(services, request)
        response = _page(405, message_page(say("page.cannot"), say("page.only_form")))
        response["headers"] |= {"Allow": "GET, HEAD, POST"}
        return response
    except DecisionRefusedError as refused:
        return _page(refused.status, message_page(say("page.cannot"), str(refused), "wrong"))
    except PlanChangedError:
        text = say("page.plan_changed.what")
        return _page(409, message_page(say("page.plan_changed"), text, "wrong"))
    except DrydockError as error:
        text = say("http.try_again")
        return _page(_status_of(error), message_page(say("page.went_wrong"), text, "wrong"))


def _page(status: int, body: str) -> Response:
    return {"statusCode": status, "headers": dict(HEADERS), "body": body}


def _not_found() -> Response:
    return _page(404, message_page(say("page.nothing"), say("page.nothing.why")))


def _find_linked(services: Services, run_id: str, key: str) -> tuple[Run, Approval] | None:
    """The run that a link is for. As much work for a run that is not there as for a wrong key."""
    run = _find_run(services, run_id)
    approval = approval_of(run) if run is not None else None
    is_its_own = fits(key, approval.link_hash if approval else "")
    return (run, approval) if run is not None and approval is not None and is_its_own else None


def _show(services: Services, request: DecisionRequest) -> Response:
    key = request.query.get("key", "")
    found = _find_linked(services, request.query.get("run", ""), key)
    if found is None:
        return _not_found()
    run, approval = found
    closed = _closed_notice(services, run, approval)
    may_reject = can_be_withdrawn(run, approval, services.now())
    form = Form(run.run_id, key, approval.hash, only_rejects=may_reject) if may_reject or not closed else None
    return _page(200, _plan_page(services, run, approval, form, closed))


def _show_report(services: Services, request: DecisionRequest) -> Response:
    """Send the reader to the page of a report: to this one object, and only for as long as a click takes."""
    run = _find_run(services, request.query.get("run", ""))
    end = run.ended if run is not None else None
    is_its_own = fits(request.query.get("key", ""), end.report_link_hash if end else "")
    if run is None or end is None or not is_its_own:
        return _not_found()
    if services.now() >= end.at + REPORT_LINK_LIVES:
        command = drydock(location_of(run.holder, services.environment), "report", run.run_id).text
        said = say("link.report_over", days=REPORT_LINK_LIVES.days, command=command)
        return _page(410, message_page(say("link.over"), said, "wrong"))
    if request.method == "HEAD":
        return _page(200, "")
    response = _page(303, "")
    response["headers"]["Location"] = services.objects.sign_reading(report_page_key(run.run_id), REPORT_SIGNED_FOR)
    return response


def _decide_by_form(services: Services, request: DecisionRequest) -> Response:
    given = _read_form(request.require(_FORM))
    key = given.get("key", "")
    found = _find_linked(services, given.get("run", ""), key)
    if found is None:
        return _not_found()
    run, approval = found
    name, reason = clean_text(given.get("name", ""), MOST_NAME), clean_text(given.get("reason", ""), MOST_REASON)
    verdict = VERDICTS.get(given.get("decision", ""))
    if verdict is None:
        raise DecisionRefusedError(400, say("http.decision"))
    may_reject = can_be_withdrawn(run, approval, services.now())
    if not name and (may_reject or not _closed_notice(services, run, approval)):
        form = Form(run.run_id, key, approval.hash, reason=reason, only_rejects=may_reject)
        missing = Notice(say("page.no_name"), "wrong")
        return _page(400, _plan_page(services, run, approval, form, missing))
    decision = Decision(by=name, name=name, decision=verdict, reason=reason, at=services.now(), via="link")
    try:
        run, said = _decide(services, run, given.get("hash", ""), decision)
    except DecisionRefusedError as refused:
        title = say("page.too_late") if refused.status == 410 else say("page.unchanged")
        return _page(refused.status, message_page(title, str(refused), "wrong"))
    approval = approval_of(run) or approval
    title, tone = say(f"page.result.{approval.decision or 'counted'}"), _TONES[approval.decision]
    return _page(200, message_page(title, say("page.close", said=said), tone))


def _read_form(text: str) -> dict[str, str]:
    """Raises DecisionRefusedError. Of what is given twice, nothing is taken."""
    try:
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as error:
        raise DecisionRefusedError(400, say("http.form")) from error
    _require_plain(value for values in fields.values() for value in values)
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def _require_plain(texts: Iterable[str]) -> None:
    """Raises DecisionRefusedError for texts that can be neither stored nor sent."""
    if any(map(is_odd, texts)):
        raise DecisionRefusedError(400, say("http.odd"))


def _closed_notice(services: Services, run: Run, approval: Approval) -> Notice | None:
    """Why nothing can be decided any more."""
    zone = run.time_zone or services.environment.time_zone
    if approval.decision in ("approved", "rejected") and approval.decided is not None:
        by = [one.name for one in approval.decisions if one.decision == approval.decision]
        text = say(f"page.was.{approval.decision}", by=by, moment=for_people(approval.decided, zone))
        return Notice(text, "approved" if approval.decision == APPROVED else "rejected")
    if approval.decision == NOT_ANSWERED or not approval.is_open(services.now()):
        return Notice(say("page.was_open", until=for_people(approval.until, zone)), "wrong")
    if approval.token and (run.is_ended or run.closed is not None):
        return Notice(say("page.run_stopped"), "wrong")
    return None


def _plan_page(services: Services, run: Run, approval: Approval, form: Form | None, notice: Notice | None) -> str:
    decisions = [
        say(f"page.said.{one.decision}.why", who=one.name, reason=one.reason)
        if one.reason
        else say(f"page.said.{one.decision}", who=one.name)
        for one in approval.decisions
    ]
    return plan_page(
        PlanView(
            run_id=run.run_id,
            plan=read_plan(services, run),
            hash=approval.hash,
            started_by=run.started_by,
            until=approval.until,
            needed=approvals_needed(run),
            account=run.holder.account,
            region=services.environment.region,
            zone=run.time_zone or services.environment.time_zone,
            expires=run.expires if run.is_ahead else None,
            notices=[notice] if notice else [],
            decisions=decisions,
            form=form,
        )
    )
