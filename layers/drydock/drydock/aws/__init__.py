"""The calls to AWS, one module a service; nothing else imports boto3."""
