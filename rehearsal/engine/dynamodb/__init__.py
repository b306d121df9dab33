"""DynamoDB's items: the calls, expressions and limits that the project uses, without moto's work for each of them.

Tables are made, described and deleted by moto; what is in them is here. `tests/properties/test_dynamodb.py` plays the
same calls on both.
"""
