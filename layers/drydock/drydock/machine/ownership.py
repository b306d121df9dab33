"""Whose machine it is: what marks an instance that a cluster, a service or its group looks after. Pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from drydock.aws.ec2 import Instance, state_of, tags_of
from drydock.catalogue.saying import say
from drydock.errors import (
    ClusterNodeError,
    DrydockError,
    GroupWeightedError,
    InstanceHibernatedError,
    InstanceManagedByServiceError,
    MemberInReserveError,
)
from drydock.request.policy import ClusterKind
from drydock.tags import GROUP_TAG

HIBERNATED = "Client.UserInitiatedHibernate"
"""StateReason in the EC2 API reference: "Hibernation was initiated on the instance"."""


class _Mark(NamedTuple):
    """A tag that a node has: its key, or what the key begins with. `names` says where the cluster's name stands."""

    kind: ClusterKind
    key: str
    names: Literal["value", "key", "nothing"] = "nothing"

    def is_in(self, tags: Mapping[str, str]) -> str | None:
        """The key of the tag that fits, or None."""
        if not self.key.endswith("/") and not self.key.endswith(":"):
            return self.key if self.key in tags else None
        return min((key for key in tags if key.startswith(self.key)), default=None)


_MARKS = (
    # https://karpenter.sh/docs/concepts/nodeclasses/#spectags; provisioners were before version 0.32.
    _Mark("karpenter", "karpenter.sh/nodepool"),
    _Mark("karpenter", "karpenter.sh/nodeclaim"),
    _Mark("karpenter", "karpenter.sh/provisioner-name"),
    # https://docs.aws.amazon.com/eks/latest/userguide/eks-using-tags.html
    _Mark("eks", "eks:cluster-name", "value"),
    _Mark("eks", "aws:eks:cluster-name", "value"),
    _Mark("eks", "eks:eks-cluster-name", "value"),
    _Mark("eks", "alpha.eksctl.io/cluster-name", "value"),
    _Mark("eks", "eks:nodegroup-name"),
    # Kubernetes' own, of every cluster on EC2: https://kubernetes.io/docs/reference/labels-annotations-taints/
    _Mark("eks", "kubernetes.io/cluster/", "key"),
    _Mark("eks", "KubernetesCluster", "value"),
    _Mark("eks", "k8s.io/cluster-autoscaler/"),
    # https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-tags.html; only AWS can write such tags.
    _Mark("emr", "aws:elasticmapreduce:job-flow-id", "value"),
    _Mark("emr", "aws:elasticmapreduce:"),
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/asg-capacity-providers.html
    _Mark("ecs", "AmazonECSManaged"),
    _Mark("ecs", "aws:ecs:clusterName", "value"),
    # Workers of AWS Batch are container instances of ECS.
    _Mark("ecs", "AWSBatchServiceTag"),
)

_ECS_PROFILE = ":instance-profile/ecsInstanceRole"
"""How ECS and Batch name the profile of container instances by default; one of another name tells nothing:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/instance_IAM_role.html"""


@dataclass(frozen=True)
class Membership:
    """What an instance is to its Auto Scaling group. The state is empty where nobody asked, or there is no group."""

    lifecycle: str = ""
    """LifecycleState, as Auto Scaling names it."""
    group_tags: Mapping[str, str] = field(default_factory=dict)
    """The tags of the group: not all of them need be its instances'."""
    is_weighted: bool = False
    """Whether members of the group count by weights, so that nobody can roll through it."""


NO_MEMBERSHIP = Membership()


@dataclass(frozen=True)
class Cluster:
    """The cluster that a machine is a node of; the name is empty where no mark says it."""

    kind: ClusterKind
    name: str
    mark: str
    """By what the node was recognised."""

    def refuse(self, who: str) -> ClusterNodeError:
        """Why `who`, a node or a group of nodes, is left alone, and what to do."""
        cluster = say(f"cluster.kind.{self.kind}")
        return ClusterNodeError(
            say(
                f"cluster.node.{self.kind}",
                nodes=who,
                cluster=say("cluster.named", cluster=cluster, name=self.name) if self.name else cluster,
                mark=self.mark,
            )
        )


def cluster_of(instance: Instance, group_tags: Mapping[str, str]) -> Cluster | None:
    """The cluster that an instance is a node of, by its tags, its group's, or its profile; None for what has no mark.

    A container instance of ECS without a capacity provider, under a profile of its own, has no mark.
    """
    tags = {**group_tags, **tags_of(instance)}
    for mark in _MARKS:
        key = mark.is_in(tags)
        if key is not None:
            name = {"value": tags[key], "key": key.removeprefix(mark.key), "nothing": ""}[mark.names]
            return Cluster(mark.kind, name, say("cluster.mark.tag", key=key))
    if str(instance.get("IamInstanceProfile", {}).get("Arn", "")).endswith(_ECS_PROFILE):
        return Cluster("ecs", "", say("cluster.mark.profile"))
    return None


def refuse_weighted(group: str) -> GroupWeightedError:
    """Why a group whose members have weights is left alone, and what to do."""
    return GroupWeightedError(say("group.weighted", group=group))


def refusal_by_owner(instance: Instance, membership: Membership) -> DrydockError | None:
    """Why nobody but its owner may touch an instance, whatever a policy says, or None."""
    instance_id, operator = instance["InstanceId"], instance.get("Operator", {})
    if operator.get("Managed"):
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/amazon-ec2-managed-instances.html
        return InstanceManagedByServiceError(
            say(
                "machine.of_service",
                machine=instance_id,
                service=operator.get("Principal") or say("machine.of_service.unknown"),
            )
        )
    group = tags_of(instance).get(GROUP_TAG, "")
    if membership.lifecycle.endswith(":Retained"):
        return MemberInReserveError(
            say("member.retained", machine=instance_id, state=membership.lifecycle, group=group)
        )
    if membership.lifecycle.startswith("Warmed:"):
        return MemberInReserveError(
            say("member.in_warm_pool", machine=instance_id, state=membership.lifecycle, group=group)
        )
    if membership.is_weighted:
        return refuse_weighted(group)
    reason = str(instance.get("StateReason", {}).get("Code", ""))
    if reason == HIBERNATED and state_of(instance) in ("stopping", "stopped"):
        return InstanceHibernatedError(say("machine.hibernated", machine=instance_id))
    return None
