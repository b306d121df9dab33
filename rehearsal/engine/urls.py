"""Function URLs of the embedded account: HTTP requests in, invocations on the virtual clock, HTTP responses out."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from werkzeug.datastructures import Headers

from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.clock import VirtualClock
from rehearsal.engine.functions import FunctionHost

_FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
_TEXT_TYPES = ("application/json", "application/javascript", "application/xml")


@dataclass(frozen=True)
class FunctionUrl:
    """The HTTPS endpoint of a function."""

    function: str
    auth_type: Literal["AWS_IAM", "NONE"]
    identifier: str

    @property
    def domain(self) -> str:
        """Return the domain name of the endpoint."""
        return f"{self.identifier}.lambda-url.{REGION}.on.aws"

    @property
    def address(self) -> str:
        """Return the URL as CloudFormation tells it."""
        return f"https://{self.domain}/"


@dataclass(frozen=True)
class Grant:
    """A statement of a function's resource-based policy, as AWS::Lambda::Permission makes it."""

    function: str
    action: str
    principal: str
    auth_type: str | None = None


class Response(NamedTuple):
    """What an HTTP client gets."""

    status: int
    headers: Headers
    body: bytes


class FunctionUrls:
    """The function URLs of the account.

    Whoever signs a request and is of this account is taken to be allowed by policies of his own. Everybody else needs
    the function's permission for both lambda:InvokeFunctionUrl and lambda:InvokeFunction.
    """

    def __init__(self, clock: VirtualClock, host: FunctionHost, make_uuid: Callable[[], str]) -> None:
        self.grants: list[Grant] = []
        self._clock = clock
        self._host = host
        self._make_uuid = make_uuid
        self._urls: dict[str, FunctionUrl] = {}

    def add(self, function: str, auth_type: Literal["AWS_IAM", "NONE"]) -> FunctionUrl:
        """Give a function its URL."""
        name = self._host.find(function).name
        digest = hashlib.sha256(f"{name} url".encode()).digest()
        identifier = base64.b32encode(digest).decode().lower().rstrip("=")[:32]
        url = FunctionUrl(name, auth_type, identifier)
        self._urls[url.domain] = url
        return url

    def remove(self, url: FunctionUrl) -> None:
        """Take a function its URL."""
        del self._urls[url.domain]

    def find(self, url: str) -> FunctionUrl:
        """Return the function URL that an address belongs to; raises LookupError when there is none."""
        found = self._urls.get(urlsplit(url).netloc)
        if found is None:
            raise LookupError(f"no function has the URL {url}")
        return found

    def request(
        self,
        url: str,
        method: str = "GET",
        path: str | None = None,
        query: str | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        signed_as: str | None = None,
        source_ip: str = "203.0.113.7",
    ) -> Response:
        """Make an HTTP request and wait for its response in virtual time.

        `url` may be a link with path and query of its own. `signed_as` is the ARN of the user or assumed role whose
        credentials sign the request; None for a request without signature.
        """
        target = self.find(url)
        parts = urlsplit(url)
        raw_query = parts.query if query is None else query if isinstance(query, str) else urlencode(query)
        if not self._is_allowed(target, signed_as):
            return _answer(403, {"Message": _FORBIDDEN}, {"x-amzn-errortype": "AccessDeniedException"})
        content = body.encode() if isinstance(body, str) else body
        request = _Request(method, path or parts.path or "/", raw_query, headers or {}, content, source_ip)
        event = self._make_event(target, request, signed_as)
        outcome = self._host.invoke(target.function, json.dumps(event))
        if outcome.failed:
            return Response(502, Headers({"content-type": "application/json"}), b"Internal Server Error")
        return _read_answer(json.loads(outcome.payload))

    def _is_allowed(self, url: FunctionUrl, signed_as: str | None) -> bool:
        if url.auth_type == "AWS_IAM":
            if signed_as is None:
                return False
            account = signed_as.split(":")[4]
            principals = {"*", account, f"arn:aws:iam::{account}:root", signed_as}
            if account == ACCOUNT:
                return True
        else:
            principals = {"*"}
        grants = [grant for grant in self.grants if grant.function == url.function and principals & {grant.principal}]
        through_url = any(
            grant.action == "lambda:InvokeFunctionUrl" and grant.auth_type in (None, url.auth_type) for grant in grants
        )
        return through_url and any(grant.action == "lambda:InvokeFunction" for grant in grants)

    def _make_event(self, url: FunctionUrl, request: _Request, signed_as: str | None) -> dict[str, Any]:
        """Return the event in payload format 2.0."""
        now = self._clock.now()
        given = {name.lower(): value for name, value in request.headers.items()}
        cookies = [cookie.strip() for cookie in given.pop("cookie", "").split(";") if cookie.strip()]
        headers = {
            **given,
            "host": url.domain,
            "x-amzn-trace-id": f"Root=1-{int(now.timestamp()):08x}-{self._make_uuid().replace('-', '')[:24]}",
            "x-forwarded-for": request.source_ip,
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        }
        context: dict[str, Any] = {
            "accountId": signed_as.split(":")[4] if signed_as and url.auth_type == "AWS_IAM" else "anonymous",
            "apiId": url.identifier,
            "domainName": url.domain,
            "domainPrefix": url.identifier,
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": given.get("user-agent", ""),
            },
            "requestId": self._make_uuid(),
            "routeKey": "$default",
            "stage": "$default",
            "time": now.astimezone(UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        }
        if signed_as and url.auth_type == "AWS_IAM":
            context["authorizer"] = {"iam": _describe_signer(signed_as)}
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": request.path,
            "rawQueryString": request.query,
            "headers": headers,
            "requestContext": context,
            "isBase64Encoded": False,
        }
        if cookies:
            event["cookies"] = cookies
        if request.query:
            event["queryStringParameters"] = _join_values(request.query)
        if request.body:
            is_text = _is_text(given.get("content-type", ""))
            event["body"] = request.body.decode() if is_text else base64.b64encode(request.body).decode()
            event["isBase64Encoded"] = not is_text
        return event


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | None
    source_ip: str


def _is_text(content_type: str) -> bool:
    """Say whether a body of this type comes as text. That of a form does not: it comes in base64."""
    kind = content_type.partition(";")[0].strip().lower()
    return not kind or kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml"))


def _join_values(query: str) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return {name: ",".join(several) for name, several in values.items()}


def _describe_signer(arn: str) -> dict[str, Any]:
    """Return what an IAM authorizer tells of a user (…:user/NAME) or of an assumed role (…:assumed-role/ROLE/NAME)."""
    account, resource = arn.split(":")[4], arn.split(":", 5)[5]
    digest = hashlib.sha256(arn.encode()).hexdigest()[:16].upper()
    is_role = resource.startswith("assumed-role/")
    identity = f"AROA{digest}:{resource.rsplit('/', 1)[-1]}" if is_role else f"AIDA{digest}"
    return {
        "accessKey": f"{'ASIA' if is_role else 'AKIA'}{digest}",
        "accountId": account,
        "callerId": identity,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": arn,
        "userId": identity,
    }


def _read_answer(answer: Any) -> Response:
    """Return the HTTP response that a function's answer stands for."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return _answer(200, answer, {})
    body = answer.get("body") or ""
    if not isinstance(body, str):
        return Response(502, Headers({"content-type": "application/json"}), b"Internal Server Error")
    headers = Headers({"content-type": "application/json"})
    for name, value in (answer.get("headers") or {}).items():
        headers[name.lower()] = str(value)
    for cookie in answer.get("cookies") or []:
        headers.add("set-cookie", cookie)
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    return Response(int(answer["statusCode"]), headers, content)


def _answer(status: int, answer: Any, headers: Mapping[str, str]) -> Response:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return Response(status, Headers({"content-type": "application/json", **headers}), text.encode())
