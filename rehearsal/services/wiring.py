"""Which calls of an account are answered from which part of its fleet."""

from __future__ import annotations

from botocore import xform_name
from moto import settings

from rehearsal.engine.answers import Answer, answer_calls
from rehearsal.engine.repairs.patches import Patches
from rehearsal.services.ec2_calls import EC2Calls
from rehearsal.services.group_calls import GroupCalls
from rehearsal.services.ssm_calls import SSMCalls
from rehearsal.services.volume_calls import VolumeCalls
from rehearsal.world.fleet import Fleet


def answer_from(fleet: Fleet, patches: Patches) -> None:
    """Answer the account's calls of EC2, SSM, Auto Scaling, load balancers and resource groups from a fleet.

    What is not simulated of EC2, Auto Scaling and load balancers raises NotImplementedError.
    """
    answering: dict[str, tuple[object, ...]] = {
        "autoscaling": (GroupCalls(fleet),),
        "ec2": (EC2Calls(fleet), VolumeCalls(fleet), fleet.launch_templates),
        "elbv2": (fleet.load_balancers,),
        "resource-groups": (fleet.resource_groups,),
        "ssm": (SSMCalls(fleet),),
    }

    def find_answer(service: str, operation: str) -> Answer | None:
        name = xform_name(operation)
        for calls in answering.get(service, ()):
            answer: Answer | None = getattr(calls, name, None)
            if answer is not None:
                return answer
        if service in ("autoscaling", "ec2", "elbv2"):
            raise NotImplementedError(f"{operation} of {service} is not simulated")
        return None

    # Making moto's own images would take longer than a small rehearsal.
    patches.replace(settings, "ec2_load_default_amis", lambda: False)
    answer_calls(patches, find_answer)
