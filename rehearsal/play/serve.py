"""Real HTTP servers for an embedded account: a function's URL for a browser, and the AWS API for other processes.

A server's threads do no more than HTTP: each request is handed to the one thread that runs the virtual clock, which
answers when it pumps.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, ParamValidationError
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers, MultiDict

from rehearsal.engine.calls import REGION
from rehearsal.engine.repairs.errors import service_error
from rehearsal.engine.urls import Response
from rehearsal.play.parameters import write_parameter

if TYPE_CHECKING:
    from rehearsal.account import EmbeddedAccount

_POLL = 0.05
"""Real seconds between two looks at whether there is still something to wait for."""
_SIGNATURE = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_CLIENTS = {"states": "stepfunctions", "monitoring": "cloudwatch", "tagging": "resourcegroupstaggingapi"}
"""Names of boto3's clients, where a service signs with another name."""
_BY_MOTO = ("rest-xml", "rest-json")
"""Protocols whose requests are left to moto as they are: what the account answers itself speaks others."""


@dataclass(frozen=True)
class Request:
    """An HTTP request as a server's thread read it."""

    method: str
    target: str
    """Path and query."""
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        """Return the path as it was sent."""
        return urlsplit(self.target).path or "/"

    @property
    def query(self) -> str:
        """Return what follows the question mark."""
        return urlsplit(self.target).query


@dataclass(frozen=True)
class _Exchange:
    request: Request
    reply: SimpleQueue[Response]


class Server:
    """An HTTP server on 127.0.0.1 whose requests `answer` answers, in the thread that calls `pump`."""

    def __init__(self, account: EmbeddedAccount, answer: Callable[[Request], Response], port: int) -> None:
        self._account = account
        self._answer = answer
        self._waiting: SimpleQueue[_Exchange] = SimpleQueue()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _make_handler(self._waiting))
        self._http.daemon_threads = True
        self._thread = Thread(target=self._http.serve_forever, args=(_POLL,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Return the URL of the server, without a slash at its end."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def pump(
        self,
        until: Callable[[], bool] | None = None,
        step: timedelta = timedelta(0),
        patience: float = 60,
    ) -> int:
        """Answer requests until `until()` is true, or those that have come; return how many.

        After each, `step` of virtual time passes: who asks again and again sees things go on. Raises TimeoutError
        when no request came for `patience` real seconds.
        """
        count, idle = 0, 0.0
        while True:
            try:
                exchange = self._waiting.get(timeout=_POLL) if until else self._waiting.get_nowait()
            except Empty:
                if until is None or until():
                    return count
                idle += _POLL
                if idle > patience:
                    raise TimeoutError(f"no request came in {patience} seconds") from None
                continue
            self._serve(exchange)
            count, idle = count + 1, 0.0
            if step:
                self._account.clock.sleep(step.total_seconds())

    def close(self) -> None:
        """Stop listening; who still waits for an answer is told that there is no service."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        with suppress(Empty):
            while True:
                self._waiting.get_nowait().reply.put(Response(503, Headers(), b""))

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self, exchange: _Exchange) -> None:
        response = Response(500, Headers(), b"")
        try:
            response = self._answer(exchange.request)
        finally:
            exchange.reply.put(response)


def serve_url(account: EmbeddedAccount, function_url: str, port: int = 0, signed_as: str | None = None) -> Server:
    """Serve a function URL on 127.0.0.1, to be clicked on; `signed_as` signs every request in the visitor's name."""

    def answer(request: Request) -> Response:
        response = account.urls.request(
            function_url,
            request.method,
            request.path,
            request.query,
            dict(request.headers),
            request.body or None,
            signed_as,
            source_ip="127.0.0.1",
        )
        target = response.headers.get("location", "")
        if target.startswith(function_url):
            response.headers["location"] = "/" + target.removeprefix(function_url)
        return response

    account.urls.find(function_url)
    return Server(account, answer, port)


def serve_api(account: EmbeddedAccount, port: int = 0, *, signed_as: str = "") -> Server:
    """Serve the account's AWS API on 127.0.0.1 as the `endpoint_url` of boto3, for calls of people.

    `signed_as` is the ARN of whom Parameter Store shall name for the parameters that are written through it.

    S3 and the services with REST are moto's; calls of all others are made as by a client of this process, so that
    whatever answers those answers these too.
    """

    def answer(request: Request) -> Response:
        signature = _SIGNATURE.search(request.headers.get("authorization", ""))
        if signature is None:
            return _refuse(403, "MissingAuthenticationToken", "the request is not signed")
        service = _CLIENTS.get(signature["service"], signature["service"])
        model = get_service_model(service)
        protocol = determine_request_protocol(model, request.headers.get("content-type"))
        if protocol in _BY_MOTO:
            return _ask_moto(signature["service"], request)
        if protocol not in PROTOCOL_PARSERS:
            return _refuse(501, "NotImplemented", f"{service} speaks {protocol}, which is not served")
        return _call(account, service, protocol, request, signed_as)

    return Server(account, answer, port)


def _call(account: EmbeddedAccount, service: str, protocol: str, request: Request, signed_as: str) -> Response:
    """Make the call of a request by a client of this process."""
    values = _read_form(request)
    operation = values.get("Action") or request.headers.get("x-amz-target", "").rpartition(".")[2]
    model = get_service_model(service).operation_model(operation)
    parameters = PROTOCOL_PARSERS[protocol](model).parse(
        {
            "method": request.method,
            "values": values,
            "headers": request.headers,
            "body": request.body,
            "url_path": request.path,
            "url_params": {},
        }
    )
    result: Any
    try:
        if operation == "PutParameter" and signed_as:
            result = write_parameter(account, parameters["Name"], parameters["Value"], signed_as)
        else:
            result = getattr(account.client(service), xform_name(operation))(**_without_nothing(parameters))
        result.pop("ResponseMetadata")
    except ClientError as error:
        result = service_error(service, error.response["Error"]["Code"], error.response["Error"]["Message"])
    except ParamValidationError as error:
        result = service_error(service, "ValidationException", str(error))
    except NotImplementedError as error:
        result = service_error(service, "NotImplemented", str(error))
    with warnings.catch_warnings():
        # Of codes that the service model does not know, as most of EC2's.
        warnings.simplefilter("ignore", UserWarning)
        answer = get_serializer_class(service, protocol)(model).serialize(result)
    body = answer["body"]
    headers = Headers(answer["headers"])
    headers["content-type"] = "text/xml" if protocol in ("query", "ec2") else request.headers["content-type"]
    return Response(answer["status_code"], headers, body.encode() if isinstance(body, str) else body)


def _ask_moto(service: str, request: Request) -> Response:
    """Let moto answer a request as if it had gone to the service."""
    headers = HTTPHeaders()
    for name, value in request.headers.items():
        if name.lower() != "host":
            headers[name] = value
    host = f"{service}.{REGION}.amazonaws.com"
    headers["Host"] = host
    prepared = AWSPreparedRequest(request.method, f"https://{host}{request.target}", headers, request.body, False)
    answer = _stubber().process_request(prepared)
    if answer is None:
        return _refuse(501, "NotImplemented", f"{service} is not served")
    status, answered, body = answer
    kept = Headers({name: str(value) for name, value in answered.items() if name.lower() not in _OWN_HEADERS})
    content = body.encode() if isinstance(body, str) else b"".join(body) if not isinstance(body, bytes) else body
    return Response(status, kept, content)


@cache
def _stubber() -> BotocoreStubber:
    return BotocoreStubber()


_OWN_HEADERS = ("content-length", "connection", "transfer-encoding", "date", "server", "status")


def _read_form(request: Request) -> MultiDict[str, str]:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return MultiDict()
    return MultiDict(parse_qsl(request.body.decode(), keep_blank_values=True))


def _without_nothing(parameters: Any) -> Any:
    """Return parameters without what the parser found no value for."""
    if isinstance(parameters, Mapping):
        return {key: _without_nothing(value) for key, value in parameters.items() if value is not None}
    if isinstance(parameters, list):
        return [_without_nothing(value) for value in parameters]
    return parameters


def _refuse(status: int, code: str, message: str) -> Response:
    body = {"__type": code, "message": message}
    headers = {"content-type": "application/x-amz-json-1.0", "x-amzn-errortype": code}
    return Response(status, Headers(headers), json.dumps(body).encode())


def _make_handler(waiting: SimpleQueue[_Exchange]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            headers = Headers(list(self.headers.items()))
            exchange = _Exchange(Request(self.command, self.path, headers, self.rfile.read(size)), SimpleQueue())
            waiting.put(exchange)
            response = exchange.reply.get()
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            if "content-length" not in response.headers:
                self.send_header("content-length", str(len(response.body)))
            self.send_header("connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    return Handler
