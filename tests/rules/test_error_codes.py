"""What AWS's error codes mean stands in one table; Drydock's code, the SDK and the API model are held to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import botocore.session
import pytest
import yaml
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from botocore.retries.standard import RetryContext, StandardRetryConditions

from drydock.aws import calls
from drydock.aws.calls import THROTTLES, call
from drydock.errors import AwsCallFailedError, ServiceUnavailableError
from rehearsal.engine.error_codes import ErrorCode, codes_of, read_codes, table
from rehearsal.engine.permissions import TABLE as PERMISSIONS

MEANINGS = ("throttled", "passes", "final")


def operations() -> Iterator[tuple[str, Any]]:
    """The operations that Drydock calls, each with its service."""
    session = botocore.session.get_session()
    for name in yaml.safe_load(PERMISSIONS.read_text())["calls"]:
        service, operation = name.split()
        yield service, session.get_service_model(service).operation_model(operation)


def modeled() -> dict[str, dict[str, int]]:
    """The codes that the API model names for them, by service, with their HTTP status or 0."""
    found: dict[str, dict[str, int]] = {}
    for service, operation in operations():
        codes = found.setdefault(service, {})
        for shape in operation.error_shapes:
            traits = shape.metadata.get("error", {})
            codes[traits.get("code", shape.name)] = traits.get("httpStatusCode", 0)
    return found


def all_codes() -> list[tuple[str, ErrorCode]]:
    return [(service, code) for service in modeled() for code in codes_of(service).values()]


def answering(code: ErrorCode) -> Any:
    def make_call(**parameters: Any) -> None:
        raise ClientError(
            cast(
                Any,
                {
                    "Error": {"Code": code.code, "Message": "said AWS"},
                    "ResponseMetadata": {"HTTPStatusCode": code.status},
                },
            ),
            "MakeCall",
        )

    return make_call


def test_every_code_that_the_api_model_names_is_in_the_table_and_no_other() -> None:
    written = {service: set(codes) for service, codes in table()["modeled"].items()}

    assert written == {service: set(codes) for service, codes in modeled().items() if codes}
    assert modeled()["ec2"] == {}


def test_the_status_of_a_code_is_the_models() -> None:
    for service, codes in modeled().items():
        for code, status in codes.items():
            assert status in (0, codes_of(service)[code].status), f"{service} {code}"


def test_a_code_means_the_same_wherever_it_stands() -> None:
    seen: dict[str, ErrorCode] = {}
    for part in table()["ec2"].values():
        for code in read_codes(part).values():
            assert code.meaning in MEANINGS
            assert seen.setdefault(code.code, code) == code
    for _, code in all_codes():
        assert code.meaning in MEANINGS
        # Drydock's code does not ask which service it was.
        assert seen.setdefault(code.code, code).passes == code.passes, code.code


@pytest.mark.parametrize("service", sorted(modeled()))
def test_what_passes_is_asked_again_and_what_does_not_is_told(service: str) -> None:
    for code in codes_of(service).values():
        kind = ServiceUnavailableError if code.passes else AwsCallFailedError
        with pytest.raises(kind, match=f"make_call: {code.code}: said AWS") as raised:
            call(answering(code))
        if isinstance(raised.value, ServiceUnavailableError):
            assert raised.value.was_refused is (code.meaning == "throttled"), code.code


def test_drydocks_code_knows_no_code_without_a_source() -> None:
    meanings = {code.code: code for _, code in all_codes()}
    unknown = (calls._TRANSIENT_CODES | calls._FINAL_SERVER_ERRORS) - set(meanings)
    assert not unknown
    assert all(meanings[code].meaning == "throttled" for code in THROTTLES)
    assert all(meanings[code].passes for code in calls._TRANSIENT_CODES)
    assert all(not meanings[code].passes and meanings[code].status >= 500 for code in calls._FINAL_SERVER_ERRORS)


def test_the_sdk_repeats_nothing_that_does_not_pass() -> None:
    """Save what comes with a status of 500 or more, which botocore always repeats."""
    conditions = StandardRetryConditions(max_attempts=4)
    models = dict(operations())
    for service, code in all_codes():
        context = RetryContext(
            attempt_number=1,
            operation_model=models[service],
            parsed_response={"Error": {"Code": code.code}},
            http_response=AWSResponse("https://aws", code.status, HTTPHeaders(), None),
        )
        if not code.passes:
            assert conditions.is_retryable(context) is (code.status >= 500), f"{service} {code.code}"
        if code.meaning == "throttled":
            # EC2's own words for it are among those that botocore knows; Step Functions' for KMS are not.
            assert conditions.is_retryable(context) or code.code.lower().startswith("kms") or code.code == "Throttled"
