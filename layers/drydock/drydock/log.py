"""The one logger. Task tokens and policies are never logged."""

from __future__ import annotations

from aws_lambda_powertools import Logger

logger = Logger()
