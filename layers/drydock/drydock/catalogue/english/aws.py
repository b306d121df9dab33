"""What AWS refuses, or does not know."""

SENTENCES = {
    "aws.unknown_operation": "{operation}: boto3 {version}, which is deployed, does not know it",
    # EC2.
    "ec2.unknown_instance": "{machine}: EC2 knows no such instance here",
    "ec2.not_started": "{machine}: EC2 did not start it: {code}: {message}",
    "ec2.not_stopped": "{machine}: EC2 did not stop it: {code}: {message}",
    "ec2.image_not_shown": "{machine}: image {name} exists and is not shown yet",
    "ec2.image_name_taken": "{machine}: the name {name} is taken by an older image, {image}",
    # Auto Scaling.
    "autoscaling.unknown_group": "{group}: there is no such Auto Scaling group here",
    "autoscaling.not_launched": "{group}: no instance is launched in {zone}: {reason}",
    "autoscaling.launch_unknown": "{group}: it is not known yet what was launched in {zone}",
    "autoscaling.not_terminated": "{group}: {machine} is not terminated: {message}",
    # Systems Manager.
    "document.missing": "document {name}: does not exist in this account and Region",
    "document.missing.version": "document {name}, version {version}: does not exist in this account and Region",
    "document.type": "document {name}: its type is {type}, not Command",
    "document.status": "document {name}: its status is {status}, not Active",
    "document.platform": "document {name}: is for {platforms:list}, not for {platform}",
    "calendar.unreadable": "Change Calendar {calendars:list} cannot be read: {code}: {message}",
    "window.unknown_execution": "window execution {execution}: Systems Manager knows no such execution here",
    "window.unknown": "window {window}: Systems Manager knows no such maintenance window here",
    # Resource groups, S3 and DynamoDB.
    "resource_group.unreadable": "resource group {group}: its members cannot be told: {code}: {message}",
    "resource_group.refused": "resource group {group}: {message}",
    "object.missing": "s3://{bucket}/{key}: there is no such object, or it may not be read",
    "table.refused": "table {table}: {reason}",
    "table.not_written": "table {table}: {count:# item was|# items were} not written",
    "table.transaction_cancelled": "a transaction of the table was cancelled: {message}",
}
