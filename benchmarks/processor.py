"""What it takes to write requests and to read answers: `python -m benchmarks.processor` prints seconds for an item.

Processor time on this machine, of botocore and of the layer's own reading, median of five, without any network. The
rehearsal charges functions for it: `rehearsal/engine/charges.py` has the figures of the machine that measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import boto3
from boto3.dynamodb.types import TypeSerializer
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from benchmarks.tables import Row, Table, show
from drydock.aws.table import from_wire

TIMES = 5
_NOW = datetime(2026, 11, 30, tzinfo=UTC).isoformat()


class Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        """As urllib3's."""
        yield self._content

    def read(self, *_: Any, **__: Any) -> bytes:
        """As urllib3's."""
        return self._content


def _answering(service: str, content: bytes) -> Any:
    session: Any = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="ap-northeast-1")
    client = session.client(service)
    headers: Any = {"x-amz-crc32": str(zlib.crc32(content)), "content-length": str(len(content))}

    def answer(request: AWSPreparedRequest, **_: Any) -> Any:
        return AWSResponse(request.url, 200, headers, Body(content))

    client.meta.events.register("before-send", answer)
    return client


def instances_as_xml(ids: Sequence[str], token: str = "") -> bytes:
    """An answer of DescribeInstances: an interface, two volumes, ten tags of each, as EC2 writes them."""
    tags = "".join(f"<item><key>tag-{n}</key><value>some-value-{n}</value></item>" for n in range(10))
    volumes = "".join(
        f"<item><deviceName>/dev/sd{n}</deviceName><ebs><volumeId>vol-0123456789abcdef{n}</volumeId><status>attached"
        f"</status><attachTime>{_NOW}</attachTime><deleteOnTermination>true</deleteOnTermination></ebs></item>"
        for n in range(2)
    )
    interface = (
        "<item><networkInterfaceId>eni-0123456789abcdef0</networkInterfaceId><subnetId>subnet-0123456789abcdef0"
        "</subnetId><vpcId>vpc-0123456789abcdef0</vpcId><description/><ownerId>123456789012</ownerId><status>in-use"
        "</status><macAddress>02:00:00:00:00:01</macAddress><privateIpAddress>10.0.0.1</privateIpAddress>"
        "<privateDnsName>ip-10-0-0-1.ap-northeast-1.compute.internal</privateDnsName><sourceDestCheck>true"
        "</sourceDestCheck><groupSet><item><groupId>sg-0123456789abcdef0</groupId><groupName>web</groupName></item>"
        "</groupSet><attachment><attachmentId>eni-attach-0123456789abcdef0</attachmentId><deviceIndex>0</deviceIndex>"
        f"<status>attached</status><attachTime>{_NOW}</attachTime><deleteOnTermination>true</deleteOnTermination>"
        "<networkCardIndex>0</networkCardIndex></attachment><privateIpAddressesSet><item><privateIpAddress>10.0.0.1"
        "</privateIpAddress><privateDnsName>ip-10-0-0-1.ap-northeast-1.compute.internal</privateDnsName><primary>true"
        "</primary></item></privateIpAddressesSet><ipv6AddressesSet/><interfaceType>interface</interfaceType>"
        "<operator><managed>false</managed></operator></item>"
    )
    one = (
        "<item><reservationId>r-0123456789abcdef0</reservationId><ownerId>123456789012</ownerId><groupSet/>"
        "<instancesSet><item><instanceId>INSTANCE-ID</instanceId><imageId>ami-0123456789abcdef0</imageId>"
        "<instanceState><code>16</code><name>running</name></instanceState><privateDnsName>ip-10-0-0-1</privateDnsName>"
        "<dnsName/><reason/><keyName>key</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>"
        f"m7g.large</instanceType><launchTime>{_NOW}</launchTime><placement><availabilityZone>ap-northeast-1a"
        "</availabilityZone><groupName/><tenancy>default</tenancy></placement><monitoring><state>disabled</state>"
        "</monitoring><subnetId>subnet-0123456789abcdef0</subnetId><vpcId>vpc-0123456789abcdef0</vpcId>"
        "<privateIpAddress>10.0.0.1</privateIpAddress><sourceDestCheck>true</sourceDestCheck><groupSet><item><groupId>"
        "sg-0123456789abcdef0</groupId><groupName>web</groupName></item></groupSet><architecture>arm64</architecture>"
        "<rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping>"
        f"{volumes}</blockDeviceMapping><virtualizationType>hvm</virtualizationType><clientToken>t</clientToken>"
        f"<tagSet>{tags}</tagSet><hypervisor>xen</hypervisor><networkInterfaceSet>{interface}</networkInterfaceSet>"
        "<iamInstanceProfile><arn>arn:aws:iam::123456789012:instance-profile/web</arn><id>AIPA</id></iamInstanceProfile>"
        "<ebsOptimized>true</ebsOptimized><enaSupport>true</enaSupport><cpuOptions><coreCount>2</coreCount>"
        "<threadsPerCore>1</threadsPerCore></cpuOptions><capacityReservationSpecification>"
        "<capacityReservationPreference>open</capacityReservationPreference></capacityReservationSpecification>"
        "<hibernationOptions><configured>false</configured></hibernationOptions><enclaveOptions><enabled>false"
        "</enabled></enclaveOptions><metadataOptions><state>applied</state><httpTokens>required</httpTokens>"
        "<httpPutResponseHopLimit>2</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint></metadataOptions>"
        "<platformDetails>Linux/UNIX</platformDetails><usageOperation>RunInstances</usageOperation>"
        f"<usageOperationUpdateTime>{_NOW}</usageOperationUpdateTime><privateDnsNameOptions><hostnameType>ip-name"
        "</hostnameType></privateDnsNameOptions><maintenanceOptions><autoRecovery>default</autoRecovery>"
        "</maintenanceOptions><currentInstanceBootMode>uefi</currentInstanceBootMode><operator><managed>false</managed>"
        "</operator></item></instancesSet></item>"
    )
    return (
        '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>'
        f"<reservationSet>{''.join(one.replace('INSTANCE-ID', instance_id) for instance_id in ids)}</reservationSet>"
        f"{token}</DescribeInstancesResponse>"
    ).encode()


AGENT = {
    "InstanceId": "i-0123456789abcdef0",
    "PingStatus": "Online",
    "LastPingDateTime": 1796000000.0,
    "AgentVersion": "3.3.987.0",
    "IsLatestVersion": True,
    "PlatformType": "Linux",
    "PlatformName": "Amazon Linux",
    "PlatformVersion": "2023",
    "ResourceType": "EC2Instance",
    "IPAddress": "10.0.0.1",
    "ComputerName": "ip-10-0-0-1.ap-northeast-1.compute.internal",
    "AssociationStatus": "Success",
    "LastAssociationExecutionDate": 1796000000.0,
    "AssociationOverview": {"InstanceAssociationStatusAggregatedCount": {"Success": 3}},
    "SourceId": "i-0123456789abcdef0",
    "SourceType": "AWS::EC2::Instance",
}

_MACHINE = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:drydock-PatchInstance"
_EXECUTION = {
    "executionArn": f"{_MACHINE.replace('stateMachine', 'execution')}:night-i-0123456789abcdef0",
    "stateMachineArn": _MACHINE,
    "name": "night-i-0123456789abcdef0",
    "status": "RUNNING",
    "startDate": 1796000000.0,
}

_PLACE = {
    "pk": "RUN#night",
    "sk": "MACHINE#i-0123456789abcdef0",
    "instanceId": "i-0123456789abcdef0",
    "name": "web-1",
    "expectedSeconds": 1800,
    "execution": _EXECUTION["executionArn"],
    "admittedAt": _NOW,
    "endedAt": _NOW,
    "outcome": "succeeded",
    "error": "",
    "cause": "",
    "verdict": "compliant",
    "schema": 1,
    "ttl": 1796000000,
}

_PLANNED = {"instanceId": "i-0123456789abcdef0", "name": "web-1", "wave": 1, "seconds": 1800, "basis": "history"}


def _seconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def measure() -> dict[str, float]:
    """Seconds of processor time for each item, by what is read or written; for JSON in S3, of each byte."""
    ec2 = _answering("ec2", instances_as_xml(["i-0123456789abcdef0"] * 1000))
    agents = _answering("ssm", json.dumps({"InstanceInformationList": [AGENT] * 50}).encode())
    executions = _answering("stepfunctions", json.dumps({"executions": [_EXECUTION] * 1000}).encode())
    wire = {key: TypeSerializer().serialize(value) for key, value in _PLACE.items()}
    table = _answering("dynamodb", json.dumps({"Items": [wire] * 1000}).encode())
    batch = _answering("dynamodb", b"{}")
    single = _answering("dynamodb", json.dumps({"Item": wire}).encode())

    def query() -> None:
        answer: Mapping[str, Any] = table.query(TableName="t", KeyConditionExpression="a = :b")
        for item in answer["Items"]:
            from_wire(item)

    def write() -> None:
        items = [{"PutRequest": {"Item": {k: TypeSerializer().serialize(v) for k, v in _PLACE.items()}}}] * 25
        batch.batch_write_item(RequestItems={"t": items})

    plan = [_PLANNED] * 10_000
    text = json.dumps(plan)
    return {
        "any call": _seconds(lambda: single.get_item(TableName="t", Key={"pk": {"S": "a"}, "sk": {"S": "b"}})),
        "DescribeInstances": _seconds(lambda: ec2.describe_instances(MaxResults=1000)) / 1000,
        "DescribeInstanceInformation": _seconds(agents.describe_instance_information) / 50,
        "ListExecutions": _seconds(lambda: executions.list_executions(stateMachineArn="arn")) / 1000,
        "Query": _seconds(query) / 1000,
        "BatchWriteItem": _seconds(write) / 25,
        "a byte of JSON written": _seconds(
            lambda: json.dumps(plan, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        )
        / len(text),
        "a byte of JSON read": _seconds(lambda: json.loads(text)) / len(text),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processor", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    given = parser.parse_args()
    rows = tuple(Row(what, (seconds * 1e6,), 3 if "byte" in what else 0) for what, seconds in measure().items())
    show(Table("processor", ("microseconds of a processor",), rows), write=given.write)


if __name__ == "__main__":
    main()
