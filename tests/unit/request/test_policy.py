"""The effective policy: built-in defaults < the account's settings < the input; every mistake by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drydock.errors import InvalidPolicyError
from drydock.request.policy import (
    DEFAULTS,
    MOST_SECONDS,
    account_policy,
    deadline_of,
    effective_policy,
    read_settings,
    require_no_mistakes,
    tighten,
)
from tests.unit.world import ROOT

NAME = "/drydock/policy"
EVENTS = sorted((ROOT / "events").glob("*.json"))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from([*DEFAULTS, *DEFAULTS["deadlines"], *DEFAULTS["windowsUpdate"], "unknown"])
policies = st.dictionaries(keys, json_values | st.dictionaries(keys, json_values, max_size=3), max_size=5)


def mistakes_of(given: object, account: str = "{}") -> list[str]:
    return effective_policy(account, NAME, given)[1]


def test_without_settings_and_input_the_defaults_hold() -> None:
    assert effective_policy("{}", NAME, {}) == (DEFAULTS, [])


def test_the_input_stands_over_the_settings_and_these_over_the_defaults() -> None:
    account = {"reboot": "NoReboot", "notify": "each", "backup": {"after": {"take": False}, "deprecateAfterDays": 30}}

    policy, mistakes = effective_policy(
        json.dumps(account), NAME, {"notify": "summary", "backup": {"deprecateAfterDays": 7}}
    )

    assert mistakes == []
    assert policy["reboot"] == "NoReboot"
    assert policy["notify"] == "summary"
    assert policy["backup"] == {
        "before": {"take": True, "reboot": True, "method": "image", "wait": "available"},
        "after": {"take": False, "reboot": False},
        "members": False,
        "deprecateAfterDays": 7,
        "prune": {"enabled": False, "afterDays": 90, "keep": 3},
    }


def test_when_images_go_is_for_the_account_to_say_and_not_for_one_run() -> None:
    account = json.dumps({"backup": {"prune": {"enabled": True}}})
    given = {"backup": {"prune": {"enabled": True, "keep": 1}}}

    assert effective_policy(account, NAME, {"backup": {"prune": {"enabled": True}}})[1] == []
    assert effective_policy(account, NAME, given)[1] == [f"policy.backup.prune: counts in {NAME} only, not for one run"]


def test_a_list_replaces_the_list_below_it() -> None:
    policy, _ = effective_policy('{"failOn": ["failed"]}', NAME, {"failOn": []})

    assert policy["failOn"] == []


def test_the_defaults_are_never_changed() -> None:
    policy, _ = effective_policy("{}", NAME, {})
    policy["hooks"]["onExit"] = "JoinCluster"
    policy["failOn"].append("pending_reboot")

    assert effective_policy("{}", NAME, {})[0] == DEFAULTS
    assert DEFAULTS["hooks"]["onExit"] == ""


@pytest.mark.parametrize(
    ("given", "mistake"),
    [
        ({"reboot": "maybe"}, "policy.reboot: 'maybe' is not one of RebootIfNeeded, WhenNeeded, Later, NoReboot"),
        ({"rebot": "NoReboot"}, "policy.rebot: unknown; did you mean reboot?"),
        ({"operation": None}, "policy.operation: None is not one of Install, Scan, UpdateAgents"),
        ({"agents": ["amazon-ssm-agent"]}, "policy.agents[0]: 'amazon-ssm-agent' is not one of AmazonSSMAgent, Amaz"),
        ({"document": "AWS-RunShellScript"}, "policy.document: 'AWS-RunShellScript' is not one of"),
        ({"backup": True}, "policy.backup: True is not an object"),
        ({"backup": {"before": "yes"}}, "policy.backup.before: 'yes' is not an object"),
        ({"backup": {"before": False}}, 'policy.backup.before: false is written {"take": false} now'),
        ({"backup": {"after": True}}, 'policy.backup.after: true is written {"take": true} now'),
        ({"backup": {"noReboot": True}}, "policy.backup.noReboot: is written policy.backup.before.reboot and policy.b"),
        ({"backup": {"method": "image"}}, "policy.backup.method: unknown; known are before, after, members, deprecate"),
        ({"backup": {"before": {"method": "vss"}}}, "policy.backup.before.method: 'vss' is not there yet"),
        ({"backup": {"before": {"method": "dump"}}}, "policy.backup.before.method: 'dump' is not one of image"),
        (
            {"backup": {"before": {"wait": "never"}}},
            "policy.backup.before.wait: 'never' is not one of available, begun",
        ),
        ({"backup": {"after": {"wait": "begun"}}}, "policy.backup.after.wait: unknown; known are take, reboot"),
        ({"backup": {"deprecateAfterDays": 0}}, "policy.backup.deprecateAfterDays: 0 is not a whole number from 1"),
        ({"backup": {"deprecateAfterDays": True}}, "policy.backup.deprecateAfterDays: True is not a whole number"),
        ({"deadlines": {"imageSeconds": 86401}}, "policy.deadlines.imageSeconds: 86401 is not a whole number from 60"),
        ({"deadlines": {"patchSeconds": 59}}, "policy.deadlines.patchSeconds: 59 is not"),
        ({"deadlines": {"hookSeconds": 600.5}}, "policy.deadlines.hookSeconds: 600.5 is not"),
        (
            {"hooks": {"preInstal": "X"}},
            "policy.hooks.preInstal: unknown; did you mean preInstall?",
        ),
        ({"hooks": {"onExit": "a b"}}, "policy.hooks.onExit: 'a b' is not the name of an SSM document"),
        ({"healthProbe": 5}, "policy.healthProbe: 5 is not the name of an SSM document"),
        ({"windowsUpdate": {"severityLevels": ["Severe"]}}, "policy.windowsUpdate.severityLevels[0]: 'Severe'"),
        ({"windowsUpdate": {"includeKbs": "KB5034439"}}, "policy.windowsUpdate.includeKbs: 'KB5034439' is not a list"),
        ({"windowsUpdate": {"excludeKbs": ["5034439", "x"]}}, "policy.windowsUpdate.excludeKbs[1]: 'x' is not a KB"),
        ({"installOverrideList": "s3://b/k"}, "policy.installOverrideList: unknown"),
        ({"baselineOverride": "s3://b/k"}, "policy.baselineOverride: unknown"),
        ({"windowsUpdate": {"categories": ["Guidance"]}}, "policy.windowsUpdate.categories[0]: 'Guidance' is not"),
        ({"failOn": ["compliant"]}, "policy.failOn[0]: 'compliant' is not one of"),
        ({"notify": "always"}, "policy.notify: 'always' is not one of each, failures, summary"),
        ({"startForScan": 1}, "policy.startForScan: 1 is not true or false"),
        ([], "policy: [] is not an object"),
        (None, "policy: None is not an object"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_mistake_is_named_with_its_path_and_its_value(given: object, mistake: str) -> None:
    (found,) = mistakes_of(given)

    assert found.startswith(mistake)


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(InvalidPolicyError) as refused:
        require_no_mistakes(mistakes_of({"reboot": "maybe", "notify": 3, "what": 1}, '{"operation": "Look"}'))

    for path in (f"{NAME}: policy.operation", "policy.reboot", "policy.notify", "policy.what"):
        assert path in str(refused.value)


def test_no_mistakes_raise_nothing() -> None:
    require_no_mistakes([])


@pytest.mark.parametrize("account", ["", "{", "nonsense", "[" * 4096], ids=["empty", "cut", "word", "deep"])
def test_settings_that_are_not_json_are_a_mistake_of_the_settings(account: str) -> None:
    (mistake,) = mistakes_of({}, account)

    assert mistake.startswith(f"{NAME}: not JSON")


@pytest.mark.parametrize("stack", ["ssm-patching", "SSM", "aws-patching"])
def test_a_stack_whose_name_lets_nobody_make_its_settings_is_refused(stack: str) -> None:
    assert effective_policy("{}", f"/{stack}/policy", {})[1] == [
        f"/{stack}/policy: Parameter Store takes no name that begins with aws or ssm: give the stack another name"
    ]


def test_settings_with_a_mistake_are_left_out_whole() -> None:
    found, mistakes = read_settings('{"reboot": "NoReboot", "notify": "always"}')

    assert found == {}
    assert len(mistakes) == 1


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"windowsUpdate": {"includeKbs": ["KB5034439"], "excludeKbs": ["KB5034439"]}}, ["KB5034439", "excludeKbs"]),
        ({"windowsUpdate": {"includeKbs": ["5034439"], "excludeKbs": ["KB5034439"]}}, ["5034439", "excludeKbs"]),
        ({"operation": "UpdateAgents", "agents": []}, ["policy.agents", "AmazonSSMAgent"]),
        ({"include": ["eks"]}, ["policy.include", "beforeAnything", "onExit"]),
        ({"include": ["ecs"], "hooks": {"beforeAnything": "Drain"}}, ["policy.include", "onExit"]),
        ({"include": ["emr"], "hooks": {"onExit": "Uncordon"}}, ["policy.include", "beforeAnything"]),
    ],
    ids=[
        "KB in and out",
        "KB in and out, written otherwise",
        "an update of no agent",
        "nodes without hooks",
        "nodes that would stay drained",
        "nodes that nobody drains",
    ],
)
def test_what_no_run_could_carry_out_is_refused(given: dict[str, Any], names: list[str]) -> None:
    (mistake,) = mistakes_of(given)

    for name in names:
        assert name in mistake


def test_an_impossible_combination_of_settings_and_input_is_found() -> None:
    (mistake,) = mistakes_of(
        {"windowsUpdate": {"includeKbs": ["5034439"]}}, '{"windowsUpdate": {"excludeKbs": ["KB5034439"]}}'
    )

    assert "KB5034439 stands in includeKbs and in excludeKbs" in mistake


@pytest.mark.parametrize("path", EVENTS, ids=[path.stem for path in EVENTS])
def test_every_sample_input_has_a_valid_policy(path: Path) -> None:
    assert mistakes_of(json.loads(path.read_text()).get("policy", {})) == []


@pytest.mark.parametrize("name", sorted(MOST_SECONDS))
def test_every_deadline_lies_within_its_bounds_by_default(name: str) -> None:
    assert 60 <= deadline_of(DEFAULTS, name).total_seconds() <= int(MOST_SECONDS[name])  # type: ignore[literal-required]


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(account=st.one_of(policies.map(json.dumps), st.text(max_size=30)), own=json_values | policies)
@example(account="NaN", own={})
@example(account="{}", own={"windowsUpdate": {"includeKbs": [["KB5034439"]]}})
def test_whatever_is_given_it_is_either_valid_or_each_mistake_names_its_place(account: str, own: object) -> None:
    policy, mistakes = effective_policy(account, NAME, own)

    assert all(mistake.startswith(("policy", f"{NAME}: ")) for mistake in mistakes)
    if not mistakes:
        assert effective_policy("{}", NAME, policy) == (policy, [])


@pytest.mark.parametrize(
    ("account", "asked", "said"),
    [
        ("{}", {"approval": {"ahead": 2}}, "nobody is asked without approval.required or approval.above"),
        ("{}", {"approval": {"ahead": 15, "required": True}}, "policy.approval.ahead"),
        ('{"approval": {"required": true}}', {"approval": {"ahead": 1}}, "takes approvals 0 days ahead at the most"),
        ('{"approval": {"above": 9, "ahead": 1}}', {"approval": {"ahead": 2}}, "takes approvals 1 day ahead"),
        ('{"approval": {"required": true, "ahead": 3}}', {"approval": {"ahead": 2}}, None),
    ],
)
def test_approvals_ahead_need_somebody_who_is_asked_and_no_more_days_than_the_settings_take(
    account: str, asked: dict[str, Any], said: str | None
) -> None:
    found = mistakes_of(asked, account)

    assert [one for one in found if said and said in one] == found
    assert bool(found) is (said is not None)


def test_a_policy_of_yesterday_is_as_strict_as_the_account_is_now() -> None:
    earlier, _ = effective_policy("{}", NAME, {"approval": {"above": 5, "minApprovals": 2}, "gates": {"alarms": ["a"]}})
    now = {"approval": {"above": 3, "required": True, "ahead": 0}, "gates": {"alarms": ["b"], "calendars": ["freeze"]}}

    found = tighten(earlier, account_policy(json.dumps(now)))

    assert found["approval"] == {**earlier["approval"], "required": True, "above": 3}
    assert found["gates"] == {"alarms": ["a", "b"], "calendars": ["freeze"]}
    assert found["reboot"] == earlier["reboot"]
