"""The Lambda service of the embedded account: runs handlers in this process, each with an environment of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from concurrent import futures
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from botocore.response import StreamingBody
from moto.awslambda.models import LambdaBackend
from moto.awslambda_simple.models import LambdaSimpleBackend

from rehearsal.engine.answers import Answer, Parameters
from rehearsal.engine.calls import ACCOUNT, REGION, Caller, CallLog, FunctionKilled, current_caller
from rehearsal.engine.charges import WHOLE_PROCESSOR
from rehearsal.engine.clock import Task, VirtualClock
from rehearsal.engine.pools import CooperativePool
from rehearsal.engine.project import PACKAGE
from rehearsal.engine.repairs.errors import service_error
from rehearsal.engine.repairs.patches import Patches

RETRY_SECONDS = (60, 120)


@dataclass
class DeployedFunction:
    """A function as its stack describes it."""

    name: str
    folder: str
    """Name of the folder of its code."""
    code: Path
    handler: str
    role: str
    timeout: int
    memory: int
    environment: Mapping[str, str]
    dead_letters: str | None = None
    """ARN of the queue or topic for asynchronous events that failed."""
    retries: int = 2
    on_failure: str | None = None

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"


@dataclass(frozen=True)
class Outcome:
    """What an invocation answered: its JSON payload, and whether that is an error."""

    payload: str
    failed: bool


class LambdaContext:
    """The context object of a handler."""

    def __init__(self, function: DeployedFunction, request_id: str, clock: VirtualClock) -> None:
        self.function_name = function.name
        self.function_version = "$LATEST"
        self.invoked_function_arn = function.arn
        self.memory_limit_in_mb = function.memory
        self.aws_request_id = request_id
        self.log_group_name = f"/aws/lambda/{function.name}"
        self.log_stream_name = request_id
        self.identity = None
        self.client_context = None
        self._clock = clock
        self._deadline = clock.time() + function.timeout

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds of virtual time until the function is ended."""
        return max(0, int((self._deadline - self._clock.time()) * 1000))


@dataclass
class Invocation:
    """One run of a function."""

    function: DeployedFunction
    environment: dict[str, str]
    request_id: str
    output: list[str] = field(default_factory=list)
    over: bool = False
    threads: list[Task] = field(default_factory=list)
    """Those that it has started itself."""
    works_until: float = 0
    """When all is done that its threads have given its processor to do."""


current_invocation: ContextVar[Invocation | None] = ContextVar("current_invocation", default=None)


class FunctionEnvironment(MutableMapping[str, str]):
    """`os.environ` that shows each running function its own variables and everybody else the real ones."""

    def __init__(self, real: MutableMapping[str, str]) -> None:
        self._real = real

    def _variables(self) -> MutableMapping[str, str]:
        invocation = current_invocation.get()
        return self._real if invocation is None else invocation.environment

    def __getitem__(self, name: str) -> str:
        return self._variables()[name]

    def __setitem__(self, name: str, value: str) -> None:
        self._variables()[name] = value

    def __delitem__(self, name: str) -> None:
        del self._variables()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables())

    def __len__(self) -> int:
        return len(self._variables())

    def copy(self) -> dict[str, str]:
        """Return the variables as a dictionary."""
        return dict(self._variables())


class FunctionOutput:
    """A text stream that keeps what a function prints with its invocation, and passes on the rest."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.real: Any = getattr(sys, name)

    def write(self, text: str) -> int:
        invocation = current_invocation.get()
        if invocation is None:
            return int(self.real.write(text))
        invocation.output.append(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


# Loggers keep the stream that they were made with, so one stream serves every account of the process.
_streams = {name: FunctionOutput(name) for name in ("stdout", "stderr")}


def _take_streams() -> None:
    """Put the streams in place; others, such as a test runner, may have put their own there since."""
    for name, stream in _streams.items():
        if getattr(sys, name) is not stream:
            stream.real = getattr(sys, name)
            setattr(sys, name, stream)


def _return_streams() -> None:
    for name, stream in _streams.items():
        if getattr(sys, name) is stream:
            setattr(sys, name, stream.real)


_warm: dict[Path, dict[str, ModuleType]] = {}
"""The modules of each layer, by its path: importing them takes as long as patching a machine."""


class FunctionHost:
    """The functions of the account and their invocations.

    `on_invoked(name, payload, outcome)` hears of every invocation that is over; `send(arn, body)` delivers to a queue
    or topic.
    """

    def __init__(
        self,
        clock: VirtualClock,
        calls: CallLog,
        make_uuid: Callable[[], str],
        on_invoked: Callable[[str, str, Outcome], None],
        send: Callable[[str, str], None],
    ) -> None:
        self.functions: dict[str, DeployedFunction] = {}
        self.layers: list[Path] = []
        self.logs: list[tuple[str, str, str]] = []
        """Function name, request id and text of everything functions printed."""
        self._clock = clock
        self._calls = calls
        self._make_uuid = make_uuid
        self._on_invoked = on_invoked
        self._send = send
        self._handlers: dict[str, Callable[[Any, LambdaContext], Any]] = {}
        self._patches: Patches | None = None

    def install(self, patches: Patches) -> None:
        """Give functions their environment and streams, and the account its Lambda service."""
        self._patches = patches
        patches.replace(os, "environ", FunctionEnvironment(os.environ))
        patches.replace(futures, "ThreadPoolExecutor", self._make_pool(futures.ThreadPoolExecutor))
        patches.callback(_return_streams)
        for backend in (LambdaBackend, LambdaSimpleBackend):
            patches.replace(backend, "invoke", lambda backend, *request: self._answer_api(*request))

    def add_layer(self, path: Path) -> None:
        """Make a layer's packages importable, as copies of the functions' own.

        They are warm: what an earlier account of this process has imported is not imported again. A layer whose folder
        is not there is installed: as the package of the folder's name, beside the rehearsal.
        """
        assert self._patches is not None
        if path.is_dir():
            packages = {entry.stem for entry in path.iterdir() if entry.is_dir() or entry.suffix == ".py"}
            sys.path.insert(0, str(path))
            self._patches.callback(sys.path.remove, str(path))
        else:
            packages, path = {path.name}, PACKAGE.parent
        self.layers.append(path)

        def take_out() -> dict[str, ModuleType]:
            return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in packages}

        kept = take_out()
        sys.modules.update(_warm.get(path, {}))

        def restore() -> None:
            _warm[path] = take_out()
            sys.modules.update(kept)

        self._patches.callback(restore)

    def find(self, name: str) -> DeployedFunction:
        """Return a function by its name or ARN; raises ResourceNotFoundException as AWS does."""
        short = name.split(":function:")[-1].split(":")[0]
        function = self.functions.get(short)
        if function is None:
            arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{short}"
            raise service_error("lambda", "ResourceNotFoundException", f"Function not found: {arn}")
        return function

    def invoke(self, name: str, payload: str, execution: str | None = None) -> Outcome:
        """Run a function and wait for it. `execution` is the ARN of the execution that asks."""
        function = self.find(name)
        invocation = Invocation(function, self._environment(function), self._make_uuid())
        answers: list[Outcome] = []

        def work() -> None:
            _take_streams()
            current_invocation.set(invocation)
            current_caller.set(Caller("function", function.folder, function.role, execution))
            try:
                answers.append(self._run_handler(invocation, payload))
            finally:
                # Here and not after the wait, because who waits may be stopped before the function is over.
                timer.cancel()
                current_invocation.set(None)
                if answers:
                    self._record(invocation, payload, answers[0])

        def end() -> None:
            invocation.over = True
            answers.append(_describe_timeout(invocation))
            for thread in invocation.threads:
                thread.kill(FunctionKilled())
            task.kill(FunctionKilled())

        task = self._clock.spawn(work, function.name, Context())
        timer = self._clock.call_later(function.timeout, end)
        task.join()
        return answers[0]

    def invoke_later(self, name: str, payload: str, attempt: int = 0) -> None:
        """Run a function asynchronously, with Lambda's retries and dead letters."""
        function = self.find(name)

        def work() -> None:
            outcome = self.invoke(name, payload)
            if not outcome.failed:
                return
            if attempt < function.retries:
                wait = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]
                self._clock.call_later(wait, lambda: self.invoke_later(name, payload, attempt + 1))
                return
            if function.dead_letters:
                self._send(function.dead_letters, payload)
            if function.on_failure:
                self._send(function.on_failure, _describe_failure(function, payload, outcome, attempt))

        self._clock.spawn(work, function.name)

    def _record(self, invocation: Invocation, payload: str, outcome: Outcome) -> None:
        name = invocation.function.folder
        if invocation.output:
            self.logs.append((name, invocation.request_id, "".join(invocation.output)))
        self._on_invoked(name, payload, outcome)

    def spend(self, seconds: float) -> None:
        """Let the running function work for so many seconds of a whole processor, of which it has a share.

        Its threads share what it has: Python runs one at a time.
        """
        invocation = current_invocation.get()
        if invocation is None:
            return
        share = min(1.0, invocation.function.memory / WHOLE_PROCESSOR)
        invocation.works_until = max(invocation.works_until, self._clock.time()) + seconds / share
        self._clock.sleep(invocation.works_until - self._clock.time())

    def _make_pool(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """What makes a pool of threads: one of tasks for a function, and a real one for everybody else."""

        def make(max_workers: int | None = None, *options: Any, **named: Any) -> Any:
            invocation = current_invocation.get()
            if invocation is None:
                return real(max_workers, *options, **named)
            return CooperativePool(self._clock, invocation.threads.append, max_workers or 4)

        return make

    def check_alive(self) -> None:
        """End the running function if Lambda has ended it already, whatever its `finally` blocks still try."""
        invocation = current_invocation.get()
        if invocation is not None and invocation.over:
            raise FunctionKilled

    def _run_handler(self, invocation: Invocation, payload: str) -> Outcome:
        function = invocation.function
        context = LambdaContext(function, invocation.request_id, self._clock)
        try:
            handler = self._handlers.get(function.name) or self._load(function)
            answer = handler(json.loads(payload), context)
            try:
                return Outcome(json.dumps(answer), False)
            except (TypeError, ValueError) as error:
                text = f"Unable to marshal response: {error}"
                return _describe_error("Runtime.MarshalError", text, context.aws_request_id, [])
        except FunctionKilled:
            invocation.over = True
            text = f"RequestId: {context.aws_request_id} Error: Runtime exited with error: signal: killed"
            return _describe_error("Runtime.ExitError", text, context.aws_request_id, [])
        except Exception as error:
            frames = [
                line.replace(str(function.code), "/var/task") for line in traceback.format_tb(error.__traceback__)
            ]
            for layer in self.layers:
                frames = [line.replace(str(layer), "/opt/python") for line in frames]
            return _describe_error(type(error).__name__, str(error), context.aws_request_id, frames[1:])

    def _load(self, function: DeployedFunction) -> Callable[[Any, LambdaContext], Any]:
        """Import a handler from the function's folder, under a module name of its own."""
        module_name, attribute = function.handler.rsplit(".", 1)
        path = function.code / f"{module_name.replace('.', '/')}.py"
        unique = f"rehearsed_{function.name}".replace("-", "_")
        spec = importlib.util.spec_from_file_location(unique, path)
        if spec is None or spec.loader is None or not path.exists():
            raise ImportError(f"Unable to import module '{module_name}': No module named '{module_name}'")
        before = set(sys.modules)
        module: ModuleType = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(function.code))
        self._calls.immediate = True
        try:
            spec.loader.exec_module(module)
        finally:
            self._calls.immediate = False
            sys.path.remove(str(function.code))
            for name in set(sys.modules) - before:
                origin = getattr(sys.modules[name], "__file__", None) or ""
                if origin.startswith(str(function.code)):
                    del sys.modules[name]
        handler: Callable[[Any, LambdaContext], Any] = getattr(module, attribute)
        self._handlers[function.name] = handler
        return handler

    def _environment(self, function: DeployedFunction) -> dict[str, str]:
        return {
            "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": "/var/task",
            "_HANDLER": function.handler,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_SESSION_TOKEN": "rehearsal",
            **function.environment,
        }

    def find_answer(self, service: str, operation: str) -> Answer | None:
        """Return what answers a call that invokes a function, None when it is another call."""
        return self._answer_invoke if (service, operation) == ("lambda", "Invoke") else None

    def _answer_invoke(self, parameters: Parameters) -> dict[str, Any]:
        kind = parameters.get("InvocationType", "RequestResponse")
        headers: dict[str, str] = {}
        payload = self._answer_api(
            parameters["FunctionName"], None, parameters.get("Payload"), {"x-amz-invocation-type": kind}, headers
        )
        return {
            "StatusCode": _STATUS[kind],
            "FunctionError": headers.get("x-amz-function-error"),
            "Payload": StreamingBody(BytesIO(payload), len(payload)),
        }

    def _answer_api(
        self,
        function_name: str,
        qualifier: str | None,
        body: str | bytes | None,
        headers: Mapping[str, str],
        response_headers: dict[str, str],
    ) -> bytes:
        text = body.decode() if isinstance(body, bytes) else body or "{}"
        kinds = {key.lower(): value for key, value in headers.items()}
        kind = kinds.get("x-amz-invocation-type", "RequestResponse")
        if kind == "Event":
            self.find(function_name)
            self.invoke_later(function_name, text)
            return b""
        if kind == "DryRun":
            self.find(function_name)
            return b""
        outcome = self.invoke(function_name, text)
        if outcome.failed:
            response_headers["x-amz-function-error"] = "Unhandled"
        return outcome.payload.encode()


_STATUS = {"RequestResponse": 200, "Event": 202, "DryRun": 204}
"""By the type of an invocation: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""


def _describe_error(kind: str, message: str, request_id: str, frames: list[str]) -> Outcome:
    error = {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": frames}
    return Outcome(json.dumps(error), True)


def _describe_timeout(invocation: Invocation) -> Outcome:
    seconds = f"{invocation.function.timeout:.2f}"
    message = f"RequestId: {invocation.request_id} Error: Task timed out after {seconds} seconds"
    return Outcome(json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": message}), True)


def _describe_failure(function: DeployedFunction, payload: str, outcome: Outcome, attempt: int) -> str:
    """Return what a failure destination gets for an asynchronous invocation."""
    return json.dumps(
        {
            "version": "1.0",
            "requestContext": {
                "functionArn": f"{function.arn}:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": attempt + 1,
            },
            "requestPayload": json.loads(payload),
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "responsePayload": json.loads(outcome.payload),
        }
    )
