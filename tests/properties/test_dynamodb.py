"""The account's own DynamoDB beside moto's, whose tests are verified on AWS: the same calls, the same answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends

from rehearsal.engine.calls import ACCOUNT, REGION, make_client
from rehearsal.engine.direct_calls import answer_directly, call_directly
from rehearsal.engine.dynamodb.calls import DynamoDB

EXAMPLES = int(os.environ.get("DRYDOCK_EXAMPLES", "200")) // 4
TABLE = "Items"
INDEX = {"IndexName": "lookup", "KeySchema": [{"AttributeName": "lookup", "KeyType": "HASH"}]}
SCHEMA: dict[str, Any] = {
    "TableName": TABLE,
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "lookup")],
    "GlobalSecondaryIndexes": [{**INDEX, "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]}}],
    "BillingMode": "PAY_PER_REQUEST",
}

Call = tuple[str, dict[str, Any]]

texts = st.sampled_from(["", "a", "ab", "b", "10", "é"])
numbers = st.integers(-3, 12).map(str)
simple = st.one_of(texts.map(lambda text: {"S": text}), numbers.map(lambda number: {"N": number}))
values = st.recursive(
    simple | st.booleans().map(lambda truth: {"BOOL": truth}) | st.just({"NULL": True}),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda some: {"L": some})
        | st.dictionaries(st.sampled_from(["x", "y", "status"]), inner, max_size=3).map(lambda some: {"M": some})
    ),
    max_leaves=4,
)
keys = st.builds(
    lambda pk, sk: {"pk": {"S": pk}, "sk": {"S": sk}}, st.sampled_from(["p", "q"]), st.sampled_from(["1", "10", "2"])
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "n": numbers.map(lambda number: {"N": number}),
        "t": st.sampled_from(["a", "ab", "b"]).map(lambda text: {"S": text}),
        "m": st.dictionaries(st.sampled_from(["x", "y", "status"]), values, max_size=3).map(lambda some: {"M": some}),
        "l": st.lists(values, max_size=3).map(lambda some: {"L": some}),
        "o": values,
        "lookup": st.sampled_from([{"S": "open"}, {"S": "closed"}]),
    },
)
# `#s` stands for a name that is reserved, `#m` for one that need not be written so.
PATHS = ["n", "t", "m", "l", "o", "m.x", "m.#s", "#m.y", "m.x.y", "l[0]", "l[2]", "o.x", "absent", "absent.x"]
paths = st.sampled_from(PATHS)
# moto changes what is inside of no map, and says that it did.
changed = st.sampled_from([path for path in PATHS if path not in ("m.x.y", "o.x")])
NAMES = {"#s": "status", "#m": "m"}


KEY = {"pk": {"S": "p"}, "sk": {"S": "1"}}


def _wrong(operation: str, **parameters: Any) -> Call:
    return operation, {"TableName": TABLE, **parameters}


def _wrong_update(update: str, condition: str = "", names: Any = None, **values: Any) -> Call:
    return _wrong(
        "UpdateItem",
        Key=KEY,
        UpdateExpression=update,
        **({"ConditionExpression": condition} if condition else {}),
        **({"ExpressionAttributeNames": names} if names else {}),
        **({"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}} if values else {}),
    )


ONE = {"N": "1"}
WRONG = [
    _wrong_update("SET status = :one", one=ONE),
    _wrong_update("SET n = :one", "status = :one", one=ONE),
    _wrong_update("SET n = :one, n = :one", one=ONE),
    _wrong_update("SET m = :one, m.x = :one", one=ONE),
    _wrong_update("SET n = :one SET t = :one", one=ONE),
    _wrong_update("SET sk = :one", one=ONE),
    _wrong_update("SET n = :none, t = :one", one=ONE),
    _wrong_update("SET n = :one", one=ONE, two=ONE),
    _wrong_update("SET n = :one", names={"#unused": "unused"}, one=ONE),
    _wrong_update("SET n = :one", "((attribute_exists(pk)))", one=ONE),
    _wrong_update("SET n = :one", "(n > :one) AND ((attribute_exists(pk) AND n = :one))", one=ONE),
    _wrong("PutItem", Item={"pk": {"S": "p"}}),
    _wrong("PutItem", Item={**KEY, "sk": {"N": "1"}}),
    _wrong("PutItem", Item={**KEY, "lookup": {"NULL": True}}),
    _wrong("PutItem", Item={**KEY, "lookup": {"S": ""}}),
    _wrong("GetItem", Key={"pk": {"S": "p"}, "sk": {"S": ""}}),
    _wrong("GetItem", Key={**KEY, "more": {"S": "1"}}),
    _wrong("Query", KeyConditionExpression="sk = :sk", ExpressionAttributeValues={":sk": {"S": "1"}}),
    _wrong(
        "Query",
        IndexName="lookup",
        ConsistentRead=True,
        KeyConditionExpression="lookup = :open",
        ExpressionAttributeValues={":open": {"S": "open"}},
    ),
    ("GetItem", {"TableName": "Missing", "Key": KEY}),
    ("TransactWriteItems", {"TransactItems": [{"Delete": {"TableName": TABLE, "Key": KEY}}] * 2}),
]
"""What is refused; `:none` is not given."""


class Words:
    """Draws expressions, and collects what they need to be given."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.values: dict[str, Any] = {}

    def value(self, kinds: st.SearchStrategy[dict[str, Any]] = values) -> str:
        name = f":v{len(self.values)}"
        self.values[name] = self._draw(kinds)
        return name

    def condition(self, depth: int = 2) -> str:
        kind = self._draw(st.integers(0, 9 if depth else 6))
        if kind == 0:
            return f"attribute_exists({self._draw(paths)})"
        if kind == 1:
            return f"attribute_not_exists({self._draw(paths)})"
        if kind == 2:
            return f"begins_with(t, {self.value(st.just({'S': 'a'}))})"
        if kind == 3:
            return f"attribute_exists(m) AND size(m) > {self.value(st.just({'N': '1'}))}"
        if kind == 4:
            return f"n BETWEEN {self.value(st.just({'N': '1'}))} AND {self.value(st.just({'N': '10'}))}"
        if kind == 5:
            # For moto, what is not there is null.
            something = values.filter(lambda value: "NULL" not in value)
            return f"{self._draw(paths)} {self._draw(st.sampled_from(['=', '<>']))} {self.value(something)}"
        if kind == 6:
            # moto cannot compare what is of different kinds.
            return f"n {self._draw(st.sampled_from(['<', '<=', '>', '>=']))} {self.value(st.just({'N': '5'}))}"
        if kind == 7:
            return f"NOT ({self.condition(depth - 1)})"
        word = self._draw(st.sampled_from(["AND", "OR"]))
        return f"({self.condition(depth - 1)}) {word} ({self.condition(depth - 1)})"

    def update(self) -> str:
        free = self._draw(st.lists(changed, min_size=1, max_size=4, unique_by=lambda path: path.strip("#")[0]))
        clauses: dict[str, list[str]] = {}
        for path in free:
            clause = self._draw(st.sampled_from(["SET", "SET", "SET", "REMOVE", "ADD"]))
            action = path
            if clause == "ADD":
                action += f" {self.value(st.just({'N': '3'}))}"
            elif clause == "SET":
                written = 0 if path == "n" else self._draw(st.integers(0, 3))
                if written == 0:
                    action += f" = n {self._draw(st.sampled_from('+-'))} {self.value(st.just({'N': '7'}))}"
                elif written == 1:
                    action += f" = if_not_exists({self._draw(paths)}, {self.value()})"
                else:
                    action += f" = {self.value() if written == 2 else 't'}"
            clauses.setdefault(clause, []).append(action)
        if self._draw(st.integers(0, 3)) == 0:
            clauses.setdefault("SET", []).append(f"lookup = {self.value(st.just({'S': 'open'}))}")
        return " ".join(f"{clause} {', '.join(actions)}" for clause, actions in clauses.items())

    def given(self, *texts: str) -> dict[str, Any]:
        """What the expressions need."""
        names = {name: meaning for name, meaning in NAMES.items() if any(name in text for text in texts)}
        return {
            **({"ExpressionAttributeNames": names} if names else {}),
            **({"ExpressionAttributeValues": self.values} if self.values else {}),
        }


@st.composite
def writes(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """The parameters of a write, under a condition or not."""
    words = Words(draw)
    more: dict[str, Any] = {}
    if kind == "ConditionCheck" or draw(st.booleans()):
        more["ConditionExpression"] = words.condition()
        if draw(st.booleans()):
            more["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if kind == "Put":
        more["Item"] = draw(keys) | draw(attributes)
    else:
        more["Key"] = draw(keys)
    if kind == "Update":
        more["UpdateExpression"] = words.update()
    return {"TableName": TABLE, **more, **words.given(*map(str, more.values()))}


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """One call about items."""
    kind = draw(
        st.sampled_from([*["Put", "Update", "Transact"] * 2, "Delete", "Get", "Query", "Index", "Scan", "Wrong"])
    )
    if kind == "Wrong":
        wrong: Call = draw(st.sampled_from(WRONG))
        return wrong
    if kind in ("Put", "Update", "Delete"):
        parameters = draw(writes(kind))
        wanted = draw(st.sampled_from(["NONE", "ALL_OLD", *(["ALL_NEW"] if kind == "Update" else [])]))
        return f"{kind}Item", parameters | {"ReturnValues": wanted}
    if kind == "Get":
        return "GetItem", {"TableName": TABLE, "Key": draw(keys), "ConsistentRead": True}
    if kind == "Query":
        sort = draw(
            st.sampled_from(["", " AND begins_with(sk, :sk)", " AND sk > :sk", " AND sk = :sk", " AND sk <= :sk"])
        )
        return "Query", {
            "TableName": TABLE,
            "KeyConditionExpression": f"pk = :pk{sort}",
            "ExpressionAttributeValues": {":pk": {"S": "p"}, **({":sk": {"S": "1"}} if sort else {})},
            "ScanIndexForward": draw(st.booleans()),
        }
    if kind == "Index":
        return "Query", {
            "TableName": TABLE,
            "IndexName": "lookup",
            "KeyConditionExpression": "#key = :value",
            "ExpressionAttributeNames": {"#key": "lookup"},
            "ExpressionAttributeValues": {":value": {"S": "open"}},
        }
    if kind == "Scan":
        return "Scan", {"TableName": TABLE}
    kinds = draw(st.lists(st.sampled_from(["Put", "Update", "Delete", "ConditionCheck"]), min_size=1, max_size=3))
    together = [(kind, draw(writes(kind))) for kind in kinds]
    touched = [
        str((one.get("Key") or one["Item"])["pk"]) + str((one.get("Key") or one["Item"])["sk"]) for _, one in together
    ]
    assume(len(set(touched)) == len(touched))
    return "TransactWriteItems", {"TransactItems": [{kind: one} for kind, one in together]}


NOT_APPLIED = (
    "The document path provided in the update expression is invalid for update",
    "The provided expression refers to an attribute that does not exist in the item",
    "An operand in the update expression has an incorrect data type",
    "Invalid UpdateExpression: Incorrect operand type for operator or function",
)
CANNOT_BE_APPLIED = "an update that cannot be applied"
"""What is wrong with an update in several ways is told by any of them. As API_CancellationReason has it, that cancels a
transaction with the code ValidationError; for moto the transaction is wrong as a whole."""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of an account that has one table."""
    with mock_aws():
        made: Any = make_client("dynamodb")
        made.create_table(**SCHEMA)
        yield made


def outcome(answer: Any, *call: Any) -> dict[str, Any]:
    """What a call answers, or how it is refused."""
    try:
        found = dict(answer(*call))
    except ClientError as error:
        found = dict(error.response)
        code = found["Error"]["Code"]
        # moto writes this before some messages and not before others.
        message = found["Error"]["Message"].removeprefix("1 validation error detected: ")
        if message.startswith(NOT_APPLIED) or "ValidationError" in message:
            return {"Error": CANNOT_BE_APPLIED}
        found["Error"] = {"Code": code, "Message": message}
    # moto answers what nobody asked for.
    left_out = ("ResponseMetadata", "ItemCollectionMetrics", "message", "Message")
    return {name: value for name, value in found.items() if name not in left_out}


@settings(
    max_examples=EXAMPLES,
    derandomize="DRYDOCK_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(calls(), min_size=4, max_size=16))
def test_the_same_calls_have_the_same_answers(client: Any, played: list[Call]) -> None:
    (table,) = dynamodb_backends[ACCOUNT][REGION].tables.values()
    table.items.clear()
    vars(table).pop("rehearsed_items", None)
    own = DynamoDB(ACCOUNT, REGION, lambda: 0.0, late=0)
    for operation, parameters in played:
        theirs = outcome(call_directly, client, operation, parameters)
        answer = own.find_answer("dynamodb", operation)
        assert answer is not None
        ours = outcome(answer_directly, answer, client, operation, parameters)
        assert ours == theirs, (operation, parameters)
