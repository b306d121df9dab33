"""Each repair of the emulator: the defect is still there, and the repair mends it.

The first half of a test looks at moto as it was published. When it fails, moto has mended the defect: remove the
repair.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from moto.awslambda.models import LambdaBackend
from moto.cloudformation import parsing
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.expressions import UpdateExpressionParser
from moto.dynamodb.responses import DynamoHandler
from moto.iam.models import ManagedPolicy, Role, iam_backends
from moto.kms import utils as kms_utils
from moto.kms.models import kms_backends
from moto.s3.models import S3Backend
from moto.ssm.models import Document
from moto.stepfunctions.parser import models, utils
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.retry import jitter_strategy_decl
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.fail.state_fail import StateFail
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.timestamp import Timestamp
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.eval.variable_store import VariableStore
from moto.stepfunctions.parser.asl.jsonata import jsonata as moto_jsonata
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser, ASLParserException
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.asl.utils import boto_client
from moto.stepfunctions.parser.backend import execution_worker
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.deployment import Stack
from rehearsal.engine.repairs.jsonata import UNDEFINED, evaluate
from rehearsal.engine.repairs.patches import Patches
from tests.rehearsal.conftest import on_each_dynamodb

RunMachine = Callable[..., ExecutionView]


def source(of: Any) -> str:
    return inspect.getsource(of)


PUBLISHED = {
    "threads": source(ExecutionState._evaluate_with_timeout),
    "wait": source(Timestamp._get_wait_seconds),
    "parse": source(execution_worker.ExecutionWorker._get_evaluation_entrypoint),
    "stop": source(StepFunctionResponse.stop_execution),
    "set_stop": source(Environment.set_stop),
    "reflect": source(BaseExecutionWorkerCommunication._reflect_execution_status),
    "history": source(EventManager),
    "start": source(StepFunctionsParserBackend.start_execution),
    "environment": source(execution_worker.ExecutionWorker._get_evaluation_environment),
    "describe": source(StepFunctionResponse.describe_execution),
    "entered": source(CommonStateField._eval_body),
    "properties": source(ExecutionState.from_state_props),
    "token": source(StateTaskServiceCallback._eval_body),
    "heartbeat": source(StateTaskServiceCallback._wait_for_task_token_heartbeat),
    "send_failure": source(StepFunctionResponse.send_task_failure),
    "send_success": source(StepFunctionsParserBackend.send_task_success),
    "jitter": source(jitter_strategy_decl),
    "assigned": source(VariableStore.get_assigned_variables),
    "client": source(boto_client.boto_client_for),
    "lambda": source(lambda_eval_utils._invoke_lambda_function),
    "invoke": source(LambdaBackend.invoke),
    "custom_error": source(CustomErrorName),
    "fail": source(StateFail),
    "path": source(result_path),
    "uuid": source(utils),
    "transact": source(DynamoDBBackend.transact_write_items),
    "query": source(Table.query),
    "all_items": source(Table.all_items),
    "sizes": source(LimitedSizeDict.__setitem__),
    "update": source(DynamoHandler.update_item),
    "make": source(UpdateExpressionParser.make),
    "clean": source(parsing.clean_json),
    "private_key": source(kms_utils.generate_private_key),
    "document": source(Document.create_from_cloudformation_json),
    "role": source(Role.create_from_cloudformation_json),
    "role_deletion": source(Role.delete_from_cloudformation_json),
    "managed_policies": "abstract"
    if hasattr(ManagedPolicy.delete_from_cloudformation_json, "__isabstractmethod__")
    else source(ManagedPolicy.delete_from_cloudformation_json),
    "managed_policy": source(ManagedPolicy.create_from_cloudformation_json),
    "bucket": source(S3Backend.delete_bucket),
}
"""moto's code as it was published, read before any account changes it."""


@pytest.fixture
def patches() -> Iterator[Patches]:
    with Patches() as stack:
        yield stack


def test_patches_put_everything_back() -> None:
    class Thing:
        @staticmethod
        def name() -> str:
            return "old"

    with Patches() as patches:
        patches.replace(Thing, "name", staticmethod(lambda: "new"))
        patches.replace(Thing, "extra", 1)
        assert Thing.name() == "new"
    assert Thing.name() == "old"
    assert isinstance(vars(Thing)["name"], staticmethod)
    assert not hasattr(Thing, "extra")


def test_jsonata_has_an_evaluator() -> None:
    assert moto_jsonata._eval_jsonata is None
    assert evaluate("$x + 1", {"x": 1}, str) == 2


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$states.input.quoted", 'a "b" \\ c'),
        ("$states.input.nothing", None),
        ("$exists($states.input.nothing)", True),
        ("$states.input.list[$ > 1]", [2, 3]),
        ("[0..2]", [0, 1, 2]),
        ("4 / 2", 2),
        ("$merge([{'a': 1}, {'b': null}])", {"a": 1, "b": None}),
        ('$parse("[1, null]")', [1, None]),
        ("$number", None),
    ],
)
def test_jsonata_variables_are_bound_and_not_pasted(expression: str, value: Any) -> None:
    assert "\\" not in moto_jsonata.encode_jsonata_variable_declarations({"$x": 'a "b"'}), "moto escapes them now"
    given = {"input": {"quoted": 'a "b" \\ c', "nothing": None, "list": [1, 2, 3]}}
    assert evaluate(expression, {"states": given, "number": None}, str) == value


def test_jsonata_tells_undefined_from_null() -> None:
    assert evaluate("$states.input.absent", {"states": {"input": {}}}, str) is UNDEFINED


def test_jsonata_leaves_the_variables_alone() -> None:
    given = {"input": {"list": [{"a": None}]}}
    before = copy.deepcopy(given)
    result = evaluate("$states.input.list", {"states": given}, str)
    result[0]["a"] = 1
    assert given == before


def test_a_failed_expression_is_a_query_evaluation_error(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    arn = engine.start_execution("Machine", {"until": {"not": "a time"}})
    engine.run_until_quiet()
    assert engine.execution(arn).error in ("States.Runtime", "States.QueryEvaluationError")


def test_a_rejected_definition_does_not_poison_the_next(engine: EmbeddedAccount) -> None:
    assert "_query_language_per_scope" in vars(Preprocessor), "a class attribute"
    with pytest.raises((ASLParserException, ValueError, TypeError)):
        AmazonStateLanguageParser.parse('{"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {}}}')
    first, second = Preprocessor(), Preprocessor()
    assert first._query_language_per_scope is not second._query_language_per_scope


def test_the_interpreter_runs_on_the_virtual_clock(run_machine: RunMachine) -> None:
    assert "Thread(target=_exec_and_notify, daemon=True)" in PUBLISHED["threads"]
    view = run_machine(until="2026-01-13T12:00:00Z")
    assert view.stopped == datetime(2026, 1, 13, 12, tzinfo=UTC)


def test_identifiers_depend_on_the_seed_alone(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "str(uuid4())" in PUBLISHED["uuid"]
    assert utils.long_uid() != utils.long_uid()


def test_a_definition_is_parsed_once(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "AmazonStateLanguageParser.parse(" in PUBLISHED["parse"]
    definition = '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}'
    assert AmazonStateLanguageParser.parse(definition) is AmazonStateLanguageParser.parse(definition)
    assert "parse(self.result_path_src)" in PUBLISHED["path"]


def test_an_execution_without_a_name_gets_one(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "exec_name = name" in PUBLISHED["start"]
    arn = engine.start_execution("Machine", {})
    assert not arn.endswith(":None")


def test_the_start_time_is_text(run_machine: RunMachine, engine: EmbeddedAccount) -> None:
    assert "StartTime=self._evaluation_details.execution_details.start_time" in PUBLISHED["environment"]
    view = run_machine()
    worker = engine._executions[view.arn].exec_worker
    context = worker.env.states.context_object.context_object_data
    assert context["Execution"]["StartTime"] == "2026-01-12T16:00:00Z"


def test_a_stop_keeps_its_error_and_ends_every_task(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "stop_execution(arn)" in PUBLISHED["stop"], "error and cause are not passed on"
    assert "program_state_event.set()" in PUBLISHED["set_stop"], "only Wait states hear of it"
    arn = engine.start_execution("Machine", {"work": "never"})
    engine.clock.call_later(30, lambda: engine.stop_execution(arn, "E", "c"))
    engine.run_until_quiet()
    assert (engine.execution(arn).error, engine.execution(arn).cause) == ("E", "c")
    assert engine._executions[arn].tasks == []


def test_a_stop_before_the_first_state_works(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    arn = engine.start_execution("Machine", {})
    engine.stop_execution(arn)
    engine.run_until_quiet()
    assert engine.execution(arn).status == "ABORTED"
    assert not engine.calls.calls


def test_the_history_has_a_limit(engine: EmbeddedAccount, engine_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "25" not in PUBLISHED["history"]
    monkeypatch.setattr("rehearsal.engine.repairs.executions.HISTORY_LIMIT", 6)
    arn = engine.start_execution("Machine", {})
    engine.run_until_quiet()
    view = engine.execution(arn)
    assert (view.status, view.error) == ("FAILED", "States.Runtime")
    assert len(view.events) == 6


def test_changes_of_status_are_told(run_machine: RunMachine, engine: EmbeddedAccount) -> None:
    assert "event" not in PUBLISHED["reflect"].lower()
    run_machine()
    assert [event["detail"]["status"] for event in engine.bus.events] == ["RUNNING", "SUCCEEDED"]


def test_a_timed_out_execution_has_a_stop_date(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "TIMED_OUT" not in PUBLISHED["describe"]
    arn = engine.start_execution("Machine", {"until": "2026-03-01T00:00:00Z"})
    engine.run_until_quiet()
    described = engine.client("stepfunctions").describe_execution(executionArn=arn)
    assert described["stopDate"] == datetime(2026, 1, 13, 16, tzinfo=UTC)
    assert (described["redriveCount"], described["redriveStatus"]) == (0, "REDRIVABLE")


def test_the_time_of_entry_is_printed_as_aws_does(run_machine: RunMachine, engine: EmbeddedAccount) -> None:
    assert "isoformat()" in PUBLISHED["entered"]
    view = run_machine()
    context = engine._executions[view.arn].exec_worker.env.states.context_object.context_object_data
    assert context["State"]["EnteredTime"].endswith("Z")


def test_a_heartbeat_without_a_timeout_does_not_shorten_the_task() -> None:
    assert "TimeoutSeconds(timeout_seconds=60, is_default=True)" in PUBLISHED["properties"]


def test_each_attempt_has_a_token_of_its_own(run_machine: RunMachine) -> None:
    assert "env.callback_pool_manager.add(task_token)" in PUBLISHED["token"], "once, when the state is entered"
    assert run_machine(work="third_time").status == "SUCCEEDED"


def test_an_early_answer_is_not_missed(run_machine: RunMachine) -> None:
    assert "received = heartbeat_endpoint.clear_and_wait()" in PUBLISHED["heartbeat"], "it waits before it looks"
    assert run_machine(work="at_once").status == "SUCCEEDED"


def test_the_cause_of_a_failure_is_passed_on(run_machine: RunMachine) -> None:
    assert "cause" not in PUBLISHED["send_failure"]
    assert run_machine(work="fail").cause == "broken"


def test_a_closed_token_is_timed_out() -> None:
    """Shown by test_a_token_that_is_closed_or_unknown_is_refused."""
    assert "isinstance(consumer_error, CallbackConsumerTimeout)" in PUBLISHED["send_success"]


def test_a_fail_state_may_report_an_error_of_the_engine(run_machine: RunMachine) -> None:
    assert "MUST NOT begin with the prefix" in PUBLISHED["custom_error"]
    assert "CustomErrorName(error_value)" in PUBLISHED["fail"]
    assert run_machine(work="never").error == "States.Timeout"


def test_a_timestamp_is_compared_in_utc(run_machine: RunMachine) -> None:
    assert "datetime.datetime.now()" in PUBLISHED["wait"]
    assert run_machine(until="2026-01-13T03:00:00+09:00").stopped == datetime(2026, 1, 12, 18, tzinfo=UTC)


def test_jitter_comes_from_the_seed(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "random.uniform(0, interval_seconds)" in PUBLISHED["jitter"]
    assert jitter_strategy_decl.random is engine.random


def test_assigned_variables_are_json_in_a_fixed_order(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "f'\"{traced_declaration_value}\"'" in PUBLISHED["assigned"]
    store = VariableStore()
    for name in ("b", "a"):
        store.set(name, 'say "x"')
    assert list(store.get_assigned_variables().items()) == [("a", '"say \\"x\\""'), ("b", '"say \\"x\\""')]


def test_clients_are_made_once(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "return boto3.client(" in PUBLISHED["client"]
    module = lambda_eval_utils
    assert module.boto_client_for("ap-northeast-1", "sns") is module.boto_client_for("ap-northeast-1", "sns")


def test_functions_run_without_docker(run_machine: RunMachine) -> None:
    assert "lambda_client.invoke(**parameters)" in PUBLISHED["lambda"]
    assert "without docker" in PUBLISHED["invoke"]
    assert run_machine(op="echo").output["answer"]["greeting"] == "hello"


def test_threads_are_not_kept(run_machine: RunMachine) -> None:
    assert utils.TMP_THREADS == []


@on_each_dynamodb
def test_a_transaction_is_taken_back_without_a_copy_of_the_table(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "copy.deepcopy(\n                    self.tables[table_name]" in PUBLISHED["transact"]
    client = engine.client("dynamodb")
    client.put_item(TableName="drydock-State", Item={"pk": {"S": "old"}, "n": {"N": "1"}})
    with pytest.raises(client.exceptions.TransactionCanceledException) as raised:
        client.transact_write_items(
            TransactItems=[
                {
                    "Update": {
                        "TableName": "drydock-State",
                        "Key": {"pk": {"S": "old"}},
                        "UpdateExpression": "SET n = :n",
                        "ExpressionAttributeValues": {":n": {"N": "2"}},
                    }
                },
                {"Put": {"TableName": "drydock-State", "Item": {"pk": {"S": "new"}}}},
                {
                    "ConditionCheck": {
                        "TableName": "drydock-State",
                        "Key": {"pk": {"S": "absent"}},
                        "ConditionExpression": "attribute_exists(pk)",
                    }
                },
            ]
        )
    reasons = [reason["Code"] for reason in raised.value.response["CancellationReasons"]]
    assert reasons == ["None", "None", "ConditionalCheckFailed"]
    items = client.scan(TableName="drydock-State")["Items"]
    assert items == [{"pk": {"S": "old"}, "n": {"N": "1"}}]


def test_a_symmetric_key_has_no_pair_of_keys_and_encrypts(engine: EmbeddedAccount) -> None:
    assert PUBLISHED["private_key"].rstrip().endswith("else:\n        return RSAPrivateKey(key_size=2048)")
    client = engine.client("kms")
    symmetric, pair = (client.create_key(**spec)["KeyMetadata"]["KeyId"] for spec in ({}, {"KeySpec": "RSA_2048"}))
    keys = kms_backends[ACCOUNT][REGION].keys
    assert (keys[symmetric].private_key is None, keys[pair].private_key is None) == (True, False)
    secret = client.encrypt(KeyId=symmetric, Plaintext=b"a")["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=secret)["Plaintext"] == b"a"


def test_a_query_does_not_sort_the_table() -> None:
    assert "self.all_items()" in PUBLISHED["query"]
    assert "sorted(" in PUBLISHED["all_items"]


@on_each_dynamodb
def test_an_item_is_measured_once(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    assert "current_item_size = sum(" in PUBLISHED["sizes"]
    client = engine.client("dynamodb")
    with pytest.raises(client.exceptions.ClientError, match="size"):
        item = {"pk": {"S": "a"}, "large": {"S": "x" * 410_000}}
        client.put_item(TableName="drydock-State", Item=item)


@on_each_dynamodb
def test_the_expressions_of_an_update_are_checked_once_and_hold_every_time(
    engine: EmbeddedAccount, engine_stack: Stack
) -> None:
    assert "cls(token_list).parse()" in PUBLISHED["make"]
    assert "existing_item = copy.deepcopy(" in PUBLISHED["update"]
    client = engine.client("dynamodb")

    def count(name: str, seen: str, extra: dict[str, Any] | None = None) -> None:
        client.update_item(
            TableName="drydock-State",
            Key={"pk": {"S": "a"}},
            UpdateExpression=f"SET {name} = :n",
            ConditionExpression="attribute_not_exists(pk) OR n = :seen",
            ExpressionAttributeValues={":n": {"N": str(int(seen) + 1)}, ":seen": {"N": seen}, **(extra or {})},
        )

    for number in range(3):
        count("n", str(number))
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        count("n", "7")
    with pytest.raises(client.exceptions.ClientError, match="unused in expressions"):
        count("n", "3", {":unused": {"N": "1"}})
    assert client.get_item(TableName="drydock-State", Key={"pk": {"S": "a"}})["Item"]["n"] == {"N": "3"}


@on_each_dynamodb
def test_an_answer_shares_nothing_with_the_table(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    client = engine.client("dynamodb")
    client.put_item(TableName="drydock-State", Item={"pk": {"S": "a"}, "deep": {"M": {"b": {"L": [{"S": "c"}]}}}})
    query = {
        "TableName": "drydock-State",
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "a"}},
    }
    answer = client.query(**query)["Items"][0]
    answer["deep"]["M"]["b"]["L"].append({"S": "d"})
    assert client.query(**query)["Items"][0]["deep"] == {"M": {"b": {"L": [{"S": "c"}]}}}


@on_each_dynamodb
def test_a_refused_condition_gives_the_old_item(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    client = engine.client("dynamodb")
    item = {"pk": {"S": "a"}, "deep": {"M": {"list": {"L": [{"S": "x"}, {"NULL": True}, {"BOOL": False}]}}}}
    client.put_item(TableName="drydock-State", Item=item)
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as raised:
        client.put_item(
            TableName="drydock-State",
            Item={"pk": {"S": "a"}},
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert raised.value.response["Item"] == item
    assert raised.value.response["Error"]["Code"] == "ConditionalCheckFailedException"


def test_no_value_leaves_a_list(engine_stack: Stack, engine: EmbeddedAccount) -> None:
    assert "return [clean_json(val, resources_map) for val in resource_json]" in PUBLISHED["clean"]
    (role,) = [name for name in iam_backends["123456789012"]["aws"].roles.values() if "Echo" in name.name]
    documents = list(role.policies.values())
    assert documents
    assert all(None not in document["Statement"] for document in documents)


def test_the_content_of_a_document_may_be_an_object() -> None:
    """Shown by the project's own template, whose documents are written in YAML."""
    assert "dumps" not in PUBLISHED["document"]


def test_a_role_has_the_managed_policies_that_its_template_names(engine_stack: Stack, engine: EmbeddedAccount) -> None:
    assert "ManagedPolicyArns" not in PUBLISHED["role"]
    role = engine.functions.functions["drydock-echo"].role.split("/")[-1]
    assert (
        engine.permissions.policies(role)[engine_stack.resource("ReadItemsPolicy")][0]["Action"] == "dynamodb:GetItem"
    )


def test_a_stack_that_goes_takes_roles_and_managed_policies_along(engine_stack: Stack, engine: EmbeddedAccount) -> None:
    """What else goes and what stays is shown by tests/scenarios/test_deployments.py."""
    assert "managed_policies" not in PUBLISHED["role_deletion"]
    assert PUBLISHED["managed_policies"] == "abstract"
    engine.delete_stack()
    assert engine.client("iam").list_roles()["Roles"] == []
    assert engine.client("iam").list_policies(Scope="Local")["Policies"] == []


def test_the_document_of_a_managed_policy_may_be_text() -> None:
    """Shown by tests/scenarios/machine/test_guard_tag.py, whose policy is text."""
    assert 'json.dumps(properties.get("PolicyDocument"))' in PUBLISHED["managed_policy"]


def test_a_full_bucket_is_not_deleted() -> None:
    """Shown by tests/scenarios/test_deployments.py."""
    assert "# Can't delete a bucket with keys\n            return None" in PUBLISHED["bucket"]


def test_the_state_machines_of_a_stack_execute(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    backend = models.stepfunctions_parser_backends["123456789012"]["ap-northeast-1"]
    assert [machine.name for machine in backend.state_machines] == ["drydock-Machine"]
